"""Small models that draw, and an extractor without a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.none import NoCondition
from ldmlab.conditioners.super_resolution import SuperResolution
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.models.latent_diffusion import LatentDiffusion

from ...colours import Colours


class Convolution(nn.Module):
    """The least backbone whose output depends on every input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: Tensor, timesteps: Tensor, cond: Any, control: Any = None) -> Tensor:
        joined = x if cond.concat is None else torch.cat([x, cond.concat], dim=1)
        return self.layer(joined) + timesteps.view(-1, 1, 1, 1) / 1000


@cache
def _model(kind: str) -> LatentDiffusion:
    torch.manual_seed(0)
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    conditioner: Conditioner = SuperResolution(factor=2) if kind == "restorer" else NoCondition()
    conditioner.place(autoencoder, 8)
    denoiser = Denoiser(Convolution(4 + conditioner.concat_channels), scaled_linear(), Epsilon())
    return LatentDiffusion(autoencoder, denoiser, conditioner, 8).eval()


@pytest.fixture(scope="session")
def make_model() -> Callable[[str], LatentDiffusion]:
    """("drawer" or "restorer") -> a model of 16 x 16 pictures. Not to be changed."""
    return _model


@pytest.fixture
def extractor() -> Colours:
    return Colours()


@pytest.fixture
def thirteen(shards: Path) -> HeldOut:
    """Thirteen held-out samples in five batches, which neither 2 nor 3 ranks share evenly."""
    return HeldOut(ShardDataset(ShardIndex.build(shards / "heldout"), 16), n=13, batch_size=3)
