"""Captions and a small prompt model that is ready to use."""

from __future__ import annotations

import pytest
import torch

from ldmlab.conditioners.text import TextTransformer

CAPTIONS = ["a small red circle left of a big blue square", "a big green star", "a pink triangle at the top"] * 4


@pytest.fixture(scope="session")
def captions() -> list[str]:
    return list(CAPTIONS)


@pytest.fixture
def text() -> TextTransformer:
    torch.manual_seed(0)
    model = TextTransformer(vocabulary=320, length=24, width=16, depth=2, heads=2)
    model.prepare(list(CAPTIONS))
    return model.eval()


class Latents:
    """An autoencoder of factor 4 whose two channels are the means of red and of green."""

    latent_channels, factor, latent_mean = 2, 4, torch.zeros(2)

    def moments(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means = torch.nn.functional.avg_pool2d(images, 4)[:, :2]
        return means, torch.zeros_like(means)


@pytest.fixture
def latents() -> Latents:
    return Latents()


@pytest.fixture
def images() -> torch.Tensor:
    """Three pictures of 16 px, as bytes."""
    return torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
