"""The autoencoder with a codebook: latents before quantisation outside, codes at the decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ldmlab.autoencoders.vq import AutoencoderVQ


def small(**changes: Any) -> AutoencoderVQ:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 8, "multipliers": (1, 2), "residual_blocks": 1, "norm_groups": 4}
    model = AutoencoderVQ(**{**settings, "codes": 16, **changes})
    torch.nn.init.normal_(model.codebook.codes, std=0.3)
    return model


def test_latents_outside_are_those_before_quantisation() -> None:
    model, images = small(), torch.randn(2, 3, 8, 8)
    raw = model.to_latents(model.encoder(images))
    model.set_statistics(torch.full((3,), 2.0), torch.full((3,), 4.0))
    mean, std = model.moments(images)
    torch.testing.assert_close(mean, (raw - 2) / 4)
    assert torch.equal(std, torch.zeros_like(mean))
    assert torch.equal(model.encode(images), mean)
    assert not torch.allclose(raw, model.codebook.lookup(model.codebook.nearest(raw)), atol=1e-3)


def test_decoding_quantises() -> None:
    model = small()
    model.set_statistics(torch.tensor([0.1, 0.0, -0.1]), torch.tensor([0.5, 0.3, 0.2]))
    codes = torch.randint(16, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    raw = model.codebook.lookup(codes)
    latents = (raw - model.latent_mean[:, None, None]) / model.latent_std[:, None, None]
    nudged = latents + 1e-3 * torch.randn_like(latents)
    assert torch.equal(model.decode(nudged), model.decoder(model.from_latents(raw)))


def test_training_sees_what_decoding_shows_and_counts_the_codes() -> None:
    model, images = small(), torch.randn(2, 3, 8, 8)
    result = model(images)
    torch.testing.assert_close(result.images, model.reconstruct(model.posterior(images).mean))
    assert {*result.terms} == {"codebook"}
    used = len(model.codebook.nearest(result.posterior.mean).unique())
    assert 1 <= float(result.figures["perplexity"]) <= used
    assert float(result.figures["dead_codes"]) == 0


def test_reconstruction_trains_the_encoder_through_the_codebook() -> None:
    model = small()
    model(torch.randn(2, 3, 8, 8)).images.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.to_latents.parameters())
    assert model.codebook.codes.grad is None


def test_the_encoder_may_be_wider_than_a_code() -> None:
    model = small(encoder_channels=6, latent_channels=2)
    assert (model.to_latents.in_channels, model.codebook.codes.shape[1], model.from_latents.out_channels) == (6, 2, 6)
    images = torch.randn(1, 3, 8, 8)
    assert model.encode(images).shape == (1, 2, 4, 4)
    assert model.decode(model.encode(images)).shape == images.shape


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="factor 2 does not divide images of 8x9"):
        small().encode(torch.zeros(1, 3, 8, 9))
