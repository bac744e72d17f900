"""Conditioning moves as one; a level is a pair that broadcasts."""

from __future__ import annotations

import math

import pytest
import torch

from ldmlab.types import Conditioning, Level


def full(batch: int, value: float) -> Conditioning:
    return Conditioning(
        context=torch.full((batch, 3, 2), value),
        context_mask=torch.full((batch, 3), value > 0, dtype=torch.bool),
        vector=torch.full((batch, 4), value),
        concat=torch.full((batch, 1, 2, 2), value),
    )


FIELDS = ("context", "context_mask", "vector", "concat")


def test_where_takes_every_field_of_a_sample_from_one_side() -> None:
    keep = torch.tensor([True, False, True])
    merged = full(3, 1.0).where(keep, full(3, -1.0))
    for name in FIELDS:
        rows = getattr(merged, name).flatten(1).float()
        assert [bool((row > 0).all()) for row in rows] == keep.tolist()
        assert [bool((row <= 0).all()) for row in rows] == (~keep).tolist()


def test_where_keeps_its_own_dtype() -> None:
    mine, theirs = Conditioning(vector=torch.ones(2, 3).bfloat16()), Conditioning(vector=torch.zeros(2, 3))
    merged = mine.where(torch.tensor([True, False]), theirs)
    assert merged.vector is not None
    assert merged.vector.dtype == torch.bfloat16


def test_cat_then_slice_gives_the_parts_back() -> None:
    joined = Conditioning.cat([full(2, 1.0), full(1, -1.0)])
    for name in FIELDS:
        torch.testing.assert_close(getattr(joined[:2], name), getattr(full(2, 1.0), name))
        torch.testing.assert_close(getattr(joined[torch.tensor([2])], name), getattr(full(1, -1.0), name))


def test_absent_fields_stay_absent() -> None:
    cond = Conditioning(vector=torch.ones(2, 3))
    for made in (Conditioning.cat([cond, cond]), cond[:1], cond.where(torch.tensor([True, False]), cond)):
        assert made.context is made.context_mask is made.concat is None
    assert Conditioning.cat([Conditioning(), Conditioning()]) == Conditioning()


def test_a_field_on_one_side_only_is_refused() -> None:
    vector, both = Conditioning(vector=torch.ones(1, 3)), full(1, 1.0)
    with pytest.raises(ValueError, match="'context' is present on one side only"):
        both.where(torch.tensor([True]), vector)
    for order in ([vector, both], [both, vector]):
        with pytest.raises(ValueError, match="'context' is present on one side only"):
            Conditioning.cat(order)


def test_level_is_indexed_and_measured() -> None:
    levels = Level(torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0]))
    assert len(levels) == 2
    assert levels[0].alpha == torch.tensor(0.6)
    assert levels[1:].sigma.tolist() == [0.0]
    assert float(levels.log_snr[0]) == pytest.approx(math.log(0.36 / 0.64), rel=1e-6)
    assert float(levels.log_snr[1]) == math.inf


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4, 4)])
def test_level_broadcasts_one_or_one_a_sample(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.float64)
    one = Level(torch.tensor(0.6), torch.tensor(0.8)).like(x)
    each = Level(torch.tensor([0.6, 0.7]), torch.tensor([0.8, 0.7])).like(x)
    assert one[0].dtype == x.dtype
    assert (one[0] * x).shape == (each[1] * x).shape == x.shape
    torch.testing.assert_close((each[0] * x)[1], torch.full(shape[1:], 0.7, dtype=torch.float64), rtol=1e-7, atol=0)
