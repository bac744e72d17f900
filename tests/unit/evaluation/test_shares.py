"""Batches are done once, on one rank, and what comes of them outlives a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.evaluation.shares import Kept, Shares
from ldmlab.metrics.base import Metric
from ldmlab.metrics.feed import Feed
from ldmlab.ranks import Ranks


class Total(Metric):
    """The sum of the pictures' values."""

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("total")

    def update(self, images: Tensor) -> None:
        self.total = self.total + images.double().sum()

    def compute(self) -> float:
        return float(self.total)


class Remembering(Metric):
    """What it takes in is no state, so that ranks cannot join it."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def update(self, images: Tensor, numbers: list[int]) -> None:
        self.numbers += numbers

    def compute(self) -> float:
        return float(sum(self.numbers))


PARTS = [range(0, 2), range(2, 4), range(4, 5)]


def pictures(part: range) -> dict[str, Tensor]:
    return {"images": torch.stack([torch.full((3, 2, 2), number, dtype=torch.uint8) for number in part])}


def test_items_are_made_once_and_come_in_order(on_ranks: Callable[..., list[Any]]) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    def run(ranks: Ranks) -> tuple[list[tuple[int, int]], int]:
        each = Shares(ranks).each(endless(), lambda item: (item, ranks.rank))
        return [next(each) for _ in range(4)], len(taken)

    assert on_ranks(3, run) == [([(0, 0), (1, 1), (2, 2), (3, 0)], 6)] * 3


def test_what_came_of_a_batch_is_not_made_again(tmp_path: Path) -> None:
    made: list[int] = []

    def tensors(value: float) -> Callable[[], dict[str, Tensor]]:
        def make() -> dict[str, Tensor]:
            made.append(int(value))
            return {"x": torch.tensor([[value, math.nan]]).T, "count": torch.tensor(1)}

        return make

    kept = Kept(tmp_path / "kept").of({"seed": 0})
    made_first, read = kept.get("a", tensors(1)), kept.get("a", tensors(2))
    torch.testing.assert_close(read, made_first, rtol=0, atol=0, equal_nan=True)
    assert kept.has("a")
    assert not kept.of({"seed": 1}).has("a")
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert float(kept.get("a", tensors(4))["x"][0]) == 4
    assert made == [1, 4]
    kept.forget()
    assert not (tmp_path / "kept").exists()


def test_a_rank_that_is_killed_loses_its_batch_alone(tmp_path: Path) -> None:
    """Another number of ranks goes on, and draws what is missing."""
    kept, drawn = Kept(tmp_path), []

    def measure(limit: int) -> float:
        feed, shares = Feed("made", [(total := Total()).update]), Shares(kept=kept)

        def given(part: range) -> dict[str, Tensor]:
            if len(drawn) == limit:
                raise KeyboardInterrupt
            drawn.append(part.start)
            return pictures(part)

        for reading in shares.each(PARTS, lambda part: shares.read(feed, part, lambda: given(part))):
            feed.add(reading)
        assert shares.left("made", PARTS) == []
        return float(total.compute())

    with pytest.raises(KeyboardInterrupt):
        measure(limit=2)
    assert Shares(kept=kept).left("made", PARTS) == [range(4, 5)]
    assert measure(limit=9) == 12 * sum(range(5))
    assert drawn == [0, 2, 4]


def test_a_metric_without_states_is_measured_by_one_rank_alone(tmp_path: Path) -> None:
    metric = Remembering()
    feed = Feed("made", [metric.update])
    for _ in range(2):  # nothing is kept of it, so that a second start takes all in again
        metric.numbers.clear()
        for part in PARTS:
            feed.add(Shares(kept=Kept(tmp_path)).read(feed, part, lambda part=part: pictures(part)))
        assert metric.compute() == 10
    with pytest.raises(ValueError, match="metric: Remembering has no states that ranks can join; add them"):
        Shares(Ranks(0, 2)).read(feed, PARTS[0], lambda: pictures(PARTS[0]))
