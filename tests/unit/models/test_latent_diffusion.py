"""The whole model's ends: latents and pictures."""

from __future__ import annotations

import pytest
import torch

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.conditioners.none import NoCondition
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8


@pytest.fixture(scope="module")
def model() -> LatentDiffusion:
    """Pictures of 16 x 16 from 8 x 8 latents."""
    torch.manual_seed(0)
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    network = DiT(channels=4, grid=8, patch=2, width=16, depth=1, heads=2)
    return LatentDiffusion(autoencoder, Denoiser(network, scaled_linear(), Epsilon()), NoCondition(), 8).eval()


def test_it_is_where_its_latents_are(model: LatentDiffusion) -> None:
    assert model.latent_shape == (4, 8, 8)
    assert model.device == model.autoencoder.latent_mean.device == torch.device("cpu")


def test_a_picture_of_any_size_is_encoded_as_if_alone(model: LatentDiffusion) -> None:
    pictures = torch.randint(256, (3, 3, 10, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    latents = model.encode(pictures)
    assert latents.shape == (3, 4, 5, 8)
    assert torch.equal(model.encode(pictures[1:2]), latents[1:2])
    decoded = model.decode(latents)
    assert (decoded.shape, decoded.dtype) == (pictures.shape, torch.uint8)
    assert not latents.requires_grad


def test_rounding_and_clamping() -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, -1.7, 1.2, 2 * 100.4 / 255 - 1, 2 * 100.6 / 255 - 1])
    assert to_uint8(values).tolist() == [0, 255, 128, 0, 255, 100, 101]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 127.5 - 1), every)
    assert to_uint8(torch.ones(1, dtype=torch.bfloat16)).tolist() == [255]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_picture_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="the pictures hold NaN or infinite values"):
        to_uint8(torch.tensor([0.0, bad]))
