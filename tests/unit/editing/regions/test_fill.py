"""Fillings without a model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.editing.regions.fill import harmonic_fill, mean_fill


def hole(*rows_and_columns: slice) -> Tensor:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[rows_and_columns] = True
    return mask


def ramp() -> Tensor:
    """Linear, so harmonic, with a slope of its own in each channel."""
    y, x = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    return torch.stack([2 * x + 3 * y, 6 * y, 200 - 4 * x]).to(torch.uint8)


@pytest.mark.parametrize("where", [(slice(5, 15), slice(4, 20)), (slice(1, 19), slice(1, 29))])
def test_a_ramp_is_restored(where: tuple[slice, slice]) -> None:
    mask = hole(*where)
    spoilt = torch.where(mask, torch.tensor(7, dtype=torch.uint8), ramp())
    assert torch.equal(harmonic_fill(spoilt, mask), ramp())


def test_a_ragged_hole_lies_within_its_rim_and_the_rest_is_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(40, 90, (3, 20, 30), dtype=torch.uint8, generator=generator)
    mask = torch.rand(20, 30, generator=generator) > 0.4
    filled = harmonic_fill(image, mask)
    assert torch.equal(filled[:, ~mask], image[:, ~mask])
    assert 40 <= int(filled.min()) <= int(filled.max()) < 90
    assert torch.equal(harmonic_fill(torch.where(mask, 255 - image, image), mask), filled)  # the hole is not read


def test_a_hole_at_the_edge_runs_level() -> None:
    image = torch.zeros(3, 20, 30, dtype=torch.uint8)
    image[:, :, 10] = 99
    assert torch.equal(
        harmonic_fill(image, hole(slice(None), slice(11, None)))[:, :, 11:], torch.full((3, 20, 19), 99).byte()
    )


def test_no_hole_is_no_change() -> None:
    assert torch.equal(harmonic_fill(ramp(), hole(slice(0), slice(0))), ramp())


def test_the_mean_colour() -> None:
    image = torch.zeros(3, 20, 30, dtype=torch.uint8)
    image[0, :, :10], image[1], image[:, :, 20:] = 100, 31, 255
    filled = mean_fill(image, hole(slice(None), slice(20, None)))
    assert filled[:, 0].unique(dim=1).T.tolist() == [[0, 31, 0], [50, 31, 0], [100, 31, 0]]
    assert filled[:, 3, 25].tolist() == [50, 31, 0]


def test_a_large_hole_is_nearly_as_smooth() -> None:
    y, x = torch.meshgrid(torch.arange(221), torch.arange(243), indexing="ij")
    image = torch.stack([(x + y) // 2, y, 250 - x]).to(torch.uint8)
    mask = torch.zeros(221, 243, dtype=torch.bool)
    mask[3:210, 5:230] = True
    filled = harmonic_fill(torch.where(mask, 7, image).to(torch.uint8), mask)
    assert torch.equal(filled[:, ~mask], image[:, ~mask])
    assert (filled.int() - image.int()).abs().max() <= 3
    assert torch.equal(harmonic_fill(image, mask), filled)
