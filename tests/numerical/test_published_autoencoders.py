"""Parameters of the published autoencoders, built from their yamls without allocating them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose
from torch import nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.configs.build import resolved
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.models.build import build_autoencoder

PUBLISHED = [
    # option, parameters, factor, latent channels
    ("kl", 83_653_863, 8, 4),
    ("kl_f4", 55_312_063, 4, 3),
    ("kl_f8", 83_653_863, 8, 4),
    ("kl_f16", 69_610_963, 16, 16),
    ("kl_f32", 103_880_131, 32, 64),
    ("vq", 55_322_782, 4, 3),
    ("vq_f4", 55_322_782, 4, 3),
    ("vq_f8", 67_717_295, 8, 4),
    ("vq_f16", 69_593_371, 16, 8),
]


def configured(option: str) -> Autoencoder:
    with hydra_at_conf("train"):
        config = compose("train", ["model=autoencoder", f"autoencoder={option}"])
    with torch.device("meta"):
        return build_autoencoder(resolved(config.autoencoder))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("option", "parameters", "factor", "channels"), PUBLISHED)
def test_published(
    option: str, parameters: int, factor: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = configured(option)
    assert count(model) == parameters
    assert (model.factor, model.latent_channels) == (factor, channels)
    images = torch.empty(1, 3, 64, 64, device="meta")
    assert model.encode(images).shape == (1, channels, 64 // factor, 64 // factor)


def test_the_two_halves_of_stable_diffusions_autoencoder() -> None:
    model = configured("kl_f8")
    assert (count(model.get_submodule("encoder")), count(model.decoder)) == (34_163_592, 49_490_179)
