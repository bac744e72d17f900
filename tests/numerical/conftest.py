"""The published networks, as their experiments build them, without memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.utils import instantiate
from torch import nn

from ldmlab.conditioners.base import Conditioner
from ldmlab.configs.build import resolved
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.models.build import build_autoencoder, build_backbone, build_conditioner
from ldmlab.models.outline import without_memory


@dataclass(frozen=True)
class Published:
    """A backbone on the meta device, its conditioner, and the inputs of a pass at batch 1."""

    backbone: nn.Module
    conditioner: Conditioner
    inputs: tuple[Any, ...]


@cache
def build(name: str, *overrides: str) -> Published:
    with hydra_at_conf("train"):
        config = compose("train", [f"experiment=published/{name}", *overrides])
    with without_memory():
        autoencoder, conditioner = (
            build_autoencoder(resolved(config.autoencoder)),
            build_conditioner(resolved(config.conditioner)),
        )
        grid, channels = config.data.image_size // autoencoder.factor, autoencoder.latent_channels
        conditioner.place(autoencoder, grid)
        variance = instantiate(config.objective).learns_variance
        backbone = build_backbone(resolved(config.backbone), channels, grid, conditioner, variance)
        conditioner.prepare([""])
        cond = conditioner.null(1)
        inputs = (torch.empty(1, channels, grid, grid), torch.zeros(1, dtype=torch.long), cond)
    return Published(backbone, conditioner, inputs)


@pytest.fixture(scope="session")
def published() -> Callable[..., Published]:
    """(name, overrides...) -> the network of experiments/published/NAME.yaml; each is built once."""
    return build
