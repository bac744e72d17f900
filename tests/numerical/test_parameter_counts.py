"""Parameter counts of the published autoencoders, without allocating them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ldmlab.autoencoders.kl import AutoencoderKL

def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        pytest.param({"multipliers": (1, 2, 4), "latent_channels": 3}, 55_312_063, id="kl-f4"),
        pytest.param({"multipliers": (1, 2, 4, 4), "latent_channels": 4}, 83_653_863, id="kl-f8"),
        pytest.param(
            {"multipliers": (1, 1, 2, 2, 4), "latent_channels": 16, "attention_factors": (16,)},
            69_610_963,
            id="kl-f16",
        ),
        pytest.param(
            {"multipliers": (1, 1, 2, 2, 4, 4), "latent_channels": 64, "attention_factors": (16, 32)},
            103_880_131,
            id="kl-f32",
        ),
    ],
)
def test_autoencoder(settings: dict[str, Any], published: int) -> None:
    with torch.device("meta"):
        model = AutoencoderKL(**settings)
    assert count(model) == published


def test_the_two_halves_of_stable_diffusions_autoencoder() -> None:
    with torch.device("meta"):
        model = AutoencoderKL()
    assert (count(model.encoder), count(model.decoder)) == (34_163_592, 49_490_179)
