"""Who is left out when: parts are alike in size and in what is in them."""

from __future__ import annotations

import math

import pytest
import torch

from ldmlab.metrics.picture_parts import limit, part_of, parts_of_all


def test_every_run_is_dealt_out_whoever_asks() -> None:
    whole = part_of(range(120), 12)
    assert torch.equal(
        torch.cat([part_of(range(start, start + 7), 12) for start in range(0, 119, 7)])[:119], whole[:119]
    )
    assert (whole.view(10, 12).sort(dim=1).values == torch.arange(12)).all()
    assert len({tuple(run.tolist()) for run in whole.view(10, 12)}) > 5


def test_fewer_pictures_than_parts_are_a_part_each() -> None:
    assert parts_of_all(5, 12).sort().values.tolist() == [0, 1, 2, 3, 4]
    assert parts_of_all(13, 12).bincount().sort().values.tolist() == [1] * 11 + [2]
    assert part_of(range(4), 1).tolist() == [0] * 4


def test_a_bias_of_one_over_n_is_taken_away() -> None:
    def figure(n: float) -> float:
        return 5 + 300 / n

    counts = [10] * 7 + [11] * 5
    found = limit(figure(125), [figure(125 - count) for count in counts], counts)
    assert found.figure == pytest.approx(5)
    assert found.error == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("counts", [[40] * 12, [30] * 6 + [50] * 6], ids=["equal", "unequal"])
def test_the_error_of_a_mean_is_that_of_a_mean(counts: list[int], generator: torch.Generator) -> None:
    found = []
    for _ in range(200):
        parts = torch.randn(480, generator=generator).split(counts)
        total = float(sum(part.sum() for part in parts))
        found.append(limit(total / 480, [(total - float(p.sum())) / (480 - len(p)) for p in parts], counts).error)
    assert float(torch.tensor(found).square().mean().sqrt()) == pytest.approx(1 / 480**0.5, rel=0.1)


def test_a_single_part_tells_no_error() -> None:
    assert limit(3.0, [], []).figure == 3
    assert math.isnan(limit(3.0, [3.0], [5]).error)
