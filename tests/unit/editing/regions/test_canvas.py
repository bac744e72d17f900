"""A picture on a canvas: where it lies, and where it cannot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from ldmlab.editing.regions.canvas import GRAY, PLACES, check_place, on_canvas

IMAGE = torch.arange(3 * 4 * 6, dtype=torch.uint8).reshape(3, 4, 6)


@pytest.mark.parametrize(
    ("place", "corner"),
    [
        ("top_left", (0, 0)),
        ("top", (0, 2)),
        ("right", (3, 4)),
        ("centre", (3, 2)),
        ("bottom_right", (6, 4)),
        ([1, 3], (1, 3)),
    ],
)
def test_places(place: str | Sequence[int], corner: tuple[int, int]) -> None:
    canvas, free = on_canvas(IMAGE, [10, 10], place)
    rows, columns = slice(corner[0], corner[0] + 4), slice(corner[1], corner[1] + 6)
    assert torch.equal(canvas[:, rows, columns], IMAGE)
    assert not bool(free[rows, columns].any())
    assert int(free.sum()) == 100 - 24
    assert canvas[:, free].unique().tolist() == [GRAY]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_lies_within(place: str) -> None:
    assert int(on_canvas(IMAGE, [4, 9], place)[1].sum()) == 4 * 3


@pytest.mark.parametrize(
    ("canvas", "place", "told"),
    [
        ([3, 10], "centre", r"^canvas=\[3,10\]: smaller than the image of \[4,6\]"),
        ([4, 6], "centre", r"^canvas=\[4,6\]: the image covers it"),
        ([8, 8], [5, 0], r"^place=\[5,0\]: .* up to \[4,2\]"),
        ([8, 8], [0, -1], r"^place=\[0,-1\]: "),
        ([8, 8], "middle", "^place=middle: choose one of top_left, top"),
        ([8, 8], [1], r"^place=\[1\]: "),
    ],
)
def test_refusals(canvas: list[int], place: str | list[int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        on_canvas(IMAGE, canvas, place)


def test_a_place_can_be_checked_before_there_is_a_canvas() -> None:
    check_place("left")
    check_place([3, 4])
    with pytest.raises(ValueError, match=r"^place="):
        check_place("")
