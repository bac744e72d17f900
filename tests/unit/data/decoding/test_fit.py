"""Crops of whole pixels, scaled."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ldmlab.data.decoding.fit import crop, crop_shape, fit

COUNTED = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((6, 10), (4, 4), (6, 6)),
        ((10, 6), (4, 4), (6, 6)),
        ((6, 10), (3, 5), (6, 10)),
        ((6, 10), (1, 5), (2, 10)),
        ((1000, 2), (16, 16), (2, 2)),
        ((1, 1), (16, 64), (1, 1)),
        ((1, 7), (64, 8), (1, 1)),
        ((3, 3), (300, 1), (3, 1)),
    ],
)
def test_the_largest_part_of_a_shape(shape: tuple[int, int], size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert crop_shape(shape, size) == expected


def test_a_crop_lies_where_it_is_asked_for() -> None:
    for across, left in ((0.0, 0), (0.5, 2), (1.0, 4)):
        assert np.array_equal(crop(COUNTED, (6, 6), 0.7, across), COUNTED[:, left : left + 6])
    tall = COUNTED.transpose(1, 0, 2)
    for down, top in ((0.0, 0), (0.5, 2), (1.0, 4)):
        assert np.array_equal(crop(tall, (6, 6), down, 0.2), tall[top : top + 6])


def test_places_are_chosen_evenly() -> None:
    places = [int(crop(COUNTED, (6, 6), 0.5, across)[0, 0, 0]) // 3 for across in (np.arange(1000) + 0.5) / 1000]
    assert np.bincount(places).tolist() == [200] * 5


def test_a_crop_that_has_the_size_is_not_resampled() -> None:
    assert np.array_equal(fit(COUNTED, (6, 6)), COUNTED[:, 2:8])
    assert fit(COUNTED, (6, 10)).base is COUNTED.base


@pytest.mark.parametrize("by_pillow", [False, True])
def test_scaling_is_that_of_pillow(by_pillow: bool) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 61, 3), dtype=np.uint8)
    square = photo[15:76]
    expected = np.asarray(Image.fromarray(square).resize((20, 20), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(fit(photo, (20, 20), by_pillow=by_pillow) - expected).max() <= (0 if by_pillow else 1)
