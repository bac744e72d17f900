"""The KL autoencoder: shapes, its Gaussian, and the unit variance of what leaves it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ldmlab.autoencoders.blocks import Decoder, Downsample, Encoder, PositionAttention
from ldmlab.autoencoders.kl import AutoencoderKL, DiagonalGaussian


def small(**changes: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 8, "multipliers": (1, 1, 2), "residual_blocks": 1, "norm_groups": 4}
    return AutoencoderKL(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, 4),
        ({"multipliers": (1, 1, 2, 2)}, 8),
        ({"patch": 2}, 8),
        ({"patch": 4, "multipliers": (1,)}, 4),
        ({"latent_channels": 3, "attention_factors": (4,)}, 4),
    ],
)
def test_shapes_at_every_factor(changes: dict[str, Any], factor: int) -> None:
    model = small(**changes)
    images = torch.randn(2, 3, 16, 32)
    assert model.factor == factor
    latents = model.encode(images)
    assert latents.shape == (2, model.latent_channels, 16 // factor, 32 // factor)
    assert model.decode(latents).shape == images.shape
    assert model.decoder.last_layer.shape[0] == 3 * changes.get("patch", 1) ** 2


@pytest.mark.parametrize(("patch", "factors", "count"), [(1, (2,), 1), (2, (2,), 1), (2, (4,), 1), (2, (1,), 0)])
def test_attention_factors_count_the_patch(patch: int, factors: tuple[int, ...], count: int) -> None:
    encoder = Encoder(8, (1, 1), 1, 4, factors, 4, patch)
    decoder = Decoder(8, (1, 1), 1, 4, factors, 4, patch)
    found = [sum(isinstance(m, PositionAttention) for m in side.modules()) for side in (encoder, decoder)]
    assert found == [count + 1, 2 * count + 1]  # and one in each middle


def test_position_attention_is_single_head_attention() -> None:
    layer = PositionAttention(8, 4).double()
    x = torch.randn(2, 8, 3, 2, dtype=torch.float64)
    hidden = layer.norm(x)
    q, k, v = (t(hidden).flatten(2) for t in (layer.to_q, layer.to_k, layer.to_v))
    probs = (torch.einsum("bcn,bcm->bnm", q, k) / 8**0.5).softmax(-1)
    mixed = torch.einsum("bnm,bcm->bcn", probs, v).reshape(x.shape)
    torch.testing.assert_close(layer(x), x + layer.to_out(mixed))


def test_downsampling_pads_right_and_below_only() -> None:
    layer = Downsample(1)
    torch.nn.init.ones_(layer.conv.weight)
    torch.nn.init.zeros_(layer.conv.bias)
    assert layer(torch.ones(1, 1, 4, 4)).flatten().tolist() == [9.0, 6.0, 6.0, 4.0]


def test_kl_is_the_closed_form() -> None:
    mean, log_variance = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    gaussian = DiagonalGaussian(mean, log_variance)
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(gaussian.kl(), wanted)
    torch.testing.assert_close(gaussian.std.square(), log_variance.exp())


def test_draws_have_the_gaussians_moments() -> None:
    torch.manual_seed(0)
    gaussian = DiagonalGaussian(torch.full((1, 1, 100, 100), 2.0), torch.full((1, 1, 100, 100), -1.0))
    draw = gaussian.sample()
    assert float(draw.mean()) == pytest.approx(2.0, abs=0.03)
    assert float(draw.std()) == pytest.approx(2.718281828**-0.5, rel=0.03)


def test_latents_have_unit_variance_in_every_channel_once_measured() -> None:
    model = small(initial_log_variance=-3.0)
    images = torch.rand(16, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        raw = model.posterior(images).sample()
        assert not torch.allclose(raw.std(dim=(0, 2, 3)), torch.ones(4), atol=0.2)
        model.set_statistics(raw.mean(dim=(0, 2, 3)), raw.std(dim=(0, 2, 3)))
        latents = model.encode(images)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=0.1, rtol=0)


def test_statistics_cancel_in_decoding_and_travel_with_the_weights() -> None:
    model = small()
    raw = torch.randn(2, 4, 4, 4)
    mean, std = torch.tensor([1.0, -1.0, 0.0, 3.0]), torch.tensor([0.5, 2.0, 1.0, 9.0])
    model.set_statistics(mean, std)
    latents = (raw - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(model.decode(latents), model.reconstruct(raw), rtol=1e-4, atol=1e-5)
    other = small()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.latent_std, std)


def test_moments_are_those_of_the_normalised_latents() -> None:
    model = small()
    model.set_statistics(torch.full((4,), 2.0), torch.full((4,), 4.0))
    images = torch.randn(1, 3, 8, 8)
    raw = model.posterior(images)
    mean, std = model.moments(images)
    torch.testing.assert_close(mean, (raw.mean - 2) / 4)
    torch.testing.assert_close(std, raw.std / 4)


def test_initial_log_variance() -> None:
    low, zero = small(initial_log_variance=-8.0), small()
    images = torch.randn(2, 3, 8, 8)
    difference = low.posterior(images).log_variance - zero.posterior(images).log_variance
    torch.testing.assert_close(difference, torch.full_like(difference, -8.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_statistics_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="standard deviations must be positive and finite"):
        small().set_statistics(torch.zeros(4), torch.tensor([1.0, 1.0, bad, 1.0]))


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="factor 4 does not divide images of 16x18"):
        small().encode(torch.zeros(1, 3, 16, 18))
    with pytest.raises(ValueError, match=r"autoencoder.norm_groups=32 does not divide 8 features"):
        small(norm_groups=32)
