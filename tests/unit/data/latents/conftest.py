"""A stand-in for an autoencoder, and ten samples to cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.shard_dataset import ShardDataset


class Autoencoder:
    """Means are averages of 4 x 4 pixels. Counts the images that it is given."""

    def __init__(self, fingerprint: str = "ae") -> None:
        self.images = 0
        self.encoder = LatentEncoder(self._moments, channels=3, factor=4, fingerprint=fingerprint)

    def _moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert not torch.is_grad_enabled()
        self.images += len(images)
        mean = torch.nn.functional.avg_pool2d(images, 4)
        return mean, mean.abs() + 0.5


@pytest.fixture
def autoencoder() -> Autoencoder:
    return Autoencoder()


@pytest.fixture
def dataset(tmp_path: Path, write_shards: Callable[..., Path]) -> ShardDataset:
    return ShardDataset(ShardIndex.build(write_shards(tmp_path / "shards", [5, 5])), 8)


@pytest.fixture(scope="session")
def many_shards(tmp_path_factory: pytest.TempPathFactory, write_shards: Callable[..., Path]) -> Path:
    return write_shards(tmp_path_factory.mktemp("many"), [150])


@pytest.fixture
def many(many_shards: Path) -> ShardDataset:
    """So many that there are several files."""
    return ShardDataset(ShardIndex.build(many_shards), 8)
