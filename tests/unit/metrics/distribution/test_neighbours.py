"""Distances in blocks are those of all pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.metrics.distribution import neighbours
from ldmlab.metrics.distribution.neighbours import coverage_error, distances, radii, radii_without_parts


@pytest.fixture(params=[7, 1000], ids=["blocks", "whole"])
def samples(request: pytest.FixtureRequest, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr(neighbours, "ROWS", request.param)
    return 100 + torch.randn(40, 5, generator=generator)


def test_blocks_are_rows_of_all_pairs(samples: Tensor) -> None:
    found = torch.cat([block for _, block in distances(samples, samples[:30] / 2)])
    exact = torch.cdist(samples.double(), samples[:30].double() / 2).square()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


def test_a_radius_reaches_the_kth_of_the_others(samples: Tensor) -> None:
    exact = torch.cdist(samples.double(), samples.double()).square().sort(dim=1).values
    for k in (1, 3, 39):
        torch.testing.assert_close(radii(samples, k).double(), exact[:, k], rtol=1e-4, atol=1e-4)


def test_radii_without_a_part_are_those_of_the_others(samples: Tensor) -> None:
    part = torch.arange(40) % 4
    found = radii_without_parts(samples, 3, part)
    torch.testing.assert_close(found[0], radii(samples, 3))
    for number in range(4):
        kept = part != number
        assert (found[number + 1, ~kept] == -1).all()
        torch.testing.assert_close(found[number + 1, kept], radii(samples[kept], 3), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("near", [False, True])
def test_none_and_all_are_not_certain(near: bool) -> None:
    answers = torch.full((98,), near)
    assert coverage_error(answers, [float(near)] * 12) == pytest.approx((0.01 * 0.99 / 98) ** 0.5)
    answers[:49] = not near
    assert coverage_error(answers, [0.5] * 12) == 0
