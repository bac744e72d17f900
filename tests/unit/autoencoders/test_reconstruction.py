"""The reconstruction likelihood."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Laplace

from ldmlab.autoencoders.reconstruction import ReconstructionLoss

A = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
B = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_l1_is_a_laplace_likelihood_up_to_a_constant() -> None:
    """-log Laplace(x; m, b) = |x - m| / b + log b + log 2, with b = exp(log_variance)."""
    loss = ReconstructionLoss(initial_log_variance=0.7).double()
    scale = torch.tensor(0.7, dtype=torch.float64).exp()
    wanted = -Laplace(A, scale).log_prob(B).flatten(1).sum(1).mean() - 48 * torch.tensor(2.0).log()
    assert float(loss(A, B).detach()) == pytest.approx(float(wanted), rel=1e-6)


def test_l2_is_least_where_the_scale_is_the_mean_squared_error() -> None:
    """There it is 1 + log(mean squared error) a value, as for a Gaussian."""
    loss = ReconstructionLoss("l2").double()
    error = (A - B).square().mean()
    with torch.no_grad():
        loss.log_variance.copy_(error.log())
    value = loss(A, B)
    value.backward()
    assert float(loss.log_variance.grad) == pytest.approx(0, abs=1e-5)
    assert float(value.detach()) == pytest.approx(48 * (1 + float(error.log())), rel=1e-6)


def test_sums_over_an_image_and_averages_over_the_batch() -> None:
    loss = ReconstructionLoss()
    one, twice = loss(A[:1].float(), B[:1].float()), loss(A[[0, 0]].float(), B[[0, 0]].float())
    torch.testing.assert_close(one, twice)
    torch.testing.assert_close(one, (A[0] - B[0]).abs().sum().float())


def test_perceptual_distance_is_added_to_every_value_of_its_image() -> None:
    def distance(a: Tensor, b: Tensor) -> Tensor:
        return torch.tensor([1.0, 2.0, 3.0], dtype=a.dtype)

    plain, with_distance = ReconstructionLoss().double(), ReconstructionLoss(perceptual=distance, perceptual_weight=0.5)
    difference = with_distance.double()(A, B) - plain(A, B)
    assert float(difference.detach()) == pytest.approx(48 * 0.5 * 2.0)
    switched_off = ReconstructionLoss(perceptual=distance, perceptual_weight=0.0).double()
    assert torch.equal(switched_off(A, B), plain(A, B))


def test_the_scale_is_trained() -> None:
    loss = ReconstructionLoss()
    assert [name for name, _ in loss.named_parameters()] == ["log_variance"]
    loss(A.float(), B.float()).backward()
    wanted = 48 - (A - B).abs().flatten(1).sum(1).mean()
    assert float(loss.log_variance.grad) == pytest.approx(float(wanted), rel=1e-5)


def test_unknown_error() -> None:
    with pytest.raises(ValueError, match=r"loss.pixel_error=huber: choose one of l1, l2"):
        ReconstructionLoss("huber")


def test_a_scale_that_is_not_learned_stays() -> None:
    loss = ReconstructionLoss(initial_log_variance=0.5, learned_variance=False)
    assert loss.state_dict()["log_variance"] == 0.5
    assert not loss(A.float(), B.float()).requires_grad
