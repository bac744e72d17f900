from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.training.suitability import Suitability, suitability


class Shifted(Autoencoder):
    """Gives images back with `error` added to the pixels of every other one."""

    def __init__(self, error: float) -> None:
        super().__init__(latent_channels=3, factor=1)
        self.error = error

    def forward(self, images: Tensor) -> Any:
        raise NotImplementedError

    def posterior(self, images: Tensor) -> Any:
        raise NotImplementedError

    def reconstruct(self, raw: Tensor) -> Tensor:
        return raw + self.error * (raw > 0)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, torch.zeros_like(images)


class Pictures:
    """As many pictures, half of them bright and half dark; remembers which were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict[str, Any]:
        self.asked.append(row)
        return {"image": torch.full((3, 4, 4), 0.5 - row % 2), "caption": "", "key": str(row), "meta": {}}


@pytest.fixture
def measure() -> Callable[..., Suitability]:
    """(error, pictures, count) -> what is found."""

    def run(error: float, pictures: Pictures, count: int = 64) -> Suitability:
        return suitability(Shifted(error), cast(ShardDataset, pictures), count)

    return run


def test_squared_errors_are_averaged_over_exact_pictures_too(measure: Callable[..., Suitability]) -> None:
    found = measure(0.2, Pictures(10))
    assert found.pictures == 10
    assert found.psnr == pytest.approx(10 * math.log10(4 / (0.2**2 / 2)), abs=1e-4)
    assert found.latent_std == pytest.approx(0.5, rel=0.01)


def test_values_beyond_white_are_white(measure: Callable[..., Suitability]) -> None:
    assert measure(5.0, Pictures(2)).psnr == pytest.approx(measure(0.5, Pictures(2)).psnr)


@pytest.mark.parametrize(("error", "psnr"), [(0.0, math.inf), (math.nan, math.nan)])
def test_perfect_and_broken_ones(measure: Callable[..., Suitability], error: float, psnr: float) -> None:
    assert measure(error, Pictures(2)).psnr == pytest.approx(psnr, nan_ok=True)


def test_pictures_are_spread_over_the_data_and_nothing_is_random(measure: Callable[..., Suitability]) -> None:
    pictures, state = Pictures(1000), torch.get_rng_state()
    measure(0.1, pictures, 10)
    assert pictures.asked == list(range(0, 1000, 100))
    assert torch.equal(torch.get_rng_state(), state)
