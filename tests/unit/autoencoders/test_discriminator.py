"""The adversarial terms."""

from __future__ import annotations

import pytest
import torch

from ldmlab.autoencoders.discriminator import PatchDiscriminator, adaptive_weight, hinge_loss


@pytest.mark.parametrize(("layers", "side"), [(1, 30), (2, 14), (3, 6)])
def test_a_map_of_logits(layers: int, side: int) -> None:
    assert PatchDiscriminator(channels=4, layers=layers)(torch.zeros(2, 3, 64, 64)).shape == (2, 1, side, side)


def test_losses_are_whole_under_autocast() -> None:
    model, images = PatchDiscriminator(channels=4, layers=1), torch.zeros(1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert hinge_loss(model(images), model(images)).dtype == torch.float32


def test_a_logit_sees_seventy_pixels() -> None:
    model = PatchDiscriminator(channels=2).eval()
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    model(images)[0, 0, 7, 7].backward()
    seen = (images.grad.abs().sum(1)[0] > 0).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_initial_spread() -> None:
    torch.manual_seed(0)
    model = PatchDiscriminator()
    assert float(model.layers[2].weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(model.layers[3].weight.detach().mean()) == pytest.approx(1.0, abs=0.01)


def test_hinge() -> None:
    real, fake = torch.tensor([2.0, 0.5]).view(2, 1, 1, 1), torch.tensor([-3.0, 1.0]).view(2, 1, 1, 1)
    assert float(hinge_loss(real, fake)) == pytest.approx(0.5 * (0.25 + 1.0))
    assert float(hinge_loss(torch.ones(1, 1, 1, 1), -torch.ones(1, 1, 1, 1))) == 0


def test_adaptive_weight_is_the_ratio_of_gradients() -> None:
    weight = torch.tensor([1.0, 2.0, -1.0], requires_grad=True)
    reconstruction = (weight**2).sum()  # gradient 2 w, norm 2 sqrt(6)
    adversarial = 3 * weight[0] + 4 * weight[1]  # gradient (3, 4, 0), norm 5
    found = adaptive_weight(reconstruction, adversarial, weight)
    assert float(found) == pytest.approx(2 * 6**0.5 / (5 + 1e-4))
    assert not found.requires_grad
    (reconstruction + found * adversarial).backward()
    assert weight.grad is not None


def test_adaptive_weight_is_clamped() -> None:
    weight = torch.tensor([1.0], requires_grad=True)
    assert float(adaptive_weight(1e6 * weight.sum(), 0 * weight.sum(), weight)) == 1e4


@pytest.mark.parametrize(("one", "other"), [(1e30, 1.0), (1.0, 1e30), (1e30, 1e30)])
def test_adaptive_weight_is_zero_where_a_gradient_overflows(one: float, other: float) -> None:
    weight = torch.tensor([1.0], requires_grad=True)
    assert float(adaptive_weight(one * weight.sum(), other * weight.sum(), weight, scale=1e10)) == 0
