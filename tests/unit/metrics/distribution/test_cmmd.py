"""CMMD against the definition in float64 numpy, and its error against the spread over many draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution import cmmd
from ldmlab.metrics.distribution.cmmd import CMMD
from ldmlab.metrics.feed import Feed

from ....colours import Colours


def drawn(count: int, shift: float, generator: torch.Generator) -> Tensor:
    return (torch.randn(count, 6, generator=generator) + shift).double()


def measured(real: Tensor, fake: Tensor, batch: int = 1000) -> CMMD:
    metric = CMMD()
    metric.begin(Announced(len(fake), suffix="-clip-c"))
    for side, update in ((real, metric.update_reference), (fake, metric.update)):
        for part in torch.arange(len(side)).split(batch):
            update(side[part], part.tolist())
    return metric


def by_definition(real: Tensor, fake: Tensor) -> float:
    """1000 times the mean over all pairs, each with itself too, of exp(-|x - y|^2 / 200), from differences."""
    x, y = (side.numpy() / np.linalg.norm(side.numpy(), axis=1, keepdims=True) for side in (fake, real))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 200).mean())

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_is_the_definition(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = drawn(70, 0.0, generator).float().double(), drawn(50, 0.5, generator).float().double()
    wanted = by_definition(real, fake)
    assert measured(real, fake).compute() == {"CMMD-clip-c": pytest.approx(wanted, rel=1e-9)}
    monkeypatch.setattr(cmmd, "ROWS", 16)
    monkeypatch.setattr(cmmd, "COLUMNS", 7)
    assert measured(real, fake, batch=9).compute() == {"CMMD-clip-c": pytest.approx(wanted, rel=1e-9)}


def test_equal_sets_have_none_and_length_does_not_matter(generator: torch.Generator) -> None:
    real = drawn(40, 0.2, generator)
    assert measured(real, real.flip(0)).compute()["CMMD-clip-c"] == pytest.approx(0, abs=1e-9)
    fake = drawn(40, 0.5, generator)
    longer = measured(real, fake * torch.arange(1, 41)[:, None]).compute()
    assert longer["CMMD-clip-c"] == pytest.approx(measured(real, fake).compute()["CMMD-clip-c"], rel=1e-5)


def test_the_error_is_the_spread_over_draws(generator: torch.Generator) -> None:
    real = drawn(200, 0.0, generator)
    metrics = [measured(real, drawn(100, 0.5, generator)) for _ in range(100)]
    found = np.array([metric.compute()["CMMD-clip-c"] for metric in metrics])
    told = np.array([metric.errors()["CMMD-clip-c"] for metric in metrics])
    assert told.mean() == pytest.approx(found.std(ddof=1), rel=0.2)  # 100 draws tell a deviation to 7 %


def test_nan_is_named() -> None:
    class Broken(Colours):
        def features(self, images: Tensor) -> Tensor:
            return super().features(images) / images[:, :1, 0, 0]

    metric = CMMD()
    feed = Feed("generated", [metric.update], Broken())
    images = torch.ones(3, 3, 4, 4, dtype=torch.uint8)
    images[1] = 0
    with pytest.raises(ValueError, match="the features of generated image 1 hold NaN"):
        feed.update(images=images)
