"""What has to be drawn of a picture: it holds the mask and its rim, and goes back where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.editing.regions import section as module
from ldmlab.editing.regions.section import Section, section

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st

FACTOR, GRID = 4, 6
SIDE = st.integers(1, 90)


def of(size: Sequence[int], mask: Tensor | None = None, overlap: float | None = None) -> Section:
    """Of a model that draws 24 x 24 pixels."""
    model: Any = SimpleNamespace(autoencoder=SimpleNamespace(factor=FACTOR), latent_shape=(3, GRID, GRID))
    return section(model, size, mask, overlap)


def numbered(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(0)).byte()


@given(SIDE, SIDE, st.data())
def test_what_a_mask_marks_is_in_a_window_with_its_rim(height: int, width: int, data: st.DataObject) -> None:
    mask = torch.zeros(height, width, dtype=torch.bool)
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask[row : row + 5, column : column + 9] = True
    part, pictures = of((height, width), mask), numbered(height, width)
    assert all(each.stop - each.start == GRID for window in part.windows for each in window)
    assert all(long % FACTOR == 0 for long in part.shape)
    whole, inside = numbered(height, width), part.cut_mask(mask)
    covered = torch.zeros(*part.shape, dtype=torch.bool)
    for rows, columns in part.windows:
        covered[rows.start * FACTOR : rows.stop * FACTOR, columns.start * FACTOR : columns.stop * FACTOR] = True
    near = torch.nn.functional.max_pool2d(mask.float()[None], 3, stride=1, padding=1)[0] > 0
    assert int((part.cut_mask(near) & covered).sum()) >= int(near.sum())
    assert not bool((part.cut_mask(mask) & ~covered & ~part.cut_mask(torch.zeros_like(mask))).any())
    assert torch.equal(part.put_back(part.cut(pictures), whole), whole)
    changed = torch.where(inside, 255 - part.cut(pictures), part.cut(pictures))
    assert torch.equal(part.put_back(changed, whole), torch.where(mask, 255 - whole, whole))


@pytest.mark.parametrize(
    ("size", "windows", "shape", "corner"),
    [
        ((24, 24), 1, (24, 24), (0, 0)),
        ((22, 25), 2, (24, 28), (0, 0)),
        ((7, 3), 1, (24, 24), (-8, -8)),
        ((36, 10), 2, (36, 24), (0, -4)),
    ],
)
def test_a_canvas_is_whole_latents_and_no_smaller_than_the_model(
    size: tuple[int, int], windows: int, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    part = of(size)
    assert (len(part.windows), part.of, part.shape, part.corner) == (windows, windows, shape, corner)


def test_beyond_the_edge_pixels_are_repeated_and_cells_of_nothing_are_free() -> None:
    part, mask = of((7, 3)), torch.zeros(7, 3, dtype=torch.bool)
    picture = numbered(7, 3)
    cut, free = part.cut(picture), part.cut_mask(mask)
    assert torch.equal(cut[..., :9, 8:11], picture[..., :1, :].expand(-1, -1, 9, -1))
    assert not free[8:16, 8:12].any()
    assert free.sum() == 24 * 24 - 8 * 4


def test_several_masks_are_drawn_together() -> None:
    masks = torch.zeros(2, 24, 240, dtype=torch.bool)
    masks[0, 3, 30] = masks[1, 3, 200] = True
    part = of((24, 240), masks)
    assert part.corner[1] <= 26
    assert part.corner[1] + part.shape[1] >= 205
    assert 2 <= len(part.windows) < part.of


def test_what_is_too_large_is_refused_by_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PIXELS", 24 * 48)
    mask = torch.zeros(24, 60, dtype=torch.bool)
    mask[5, 30] = True
    of((24, 60), mask)
    with pytest.raises(ValueError, match=r"^a picture of \[24,60\] pixels: .* span 1,440, .* 1,152 .*; scale it down$"):
        of((24, 60))
    with pytest.raises(ValueError, match=r"scale it down, or mark a smaller place$"):
        of((24, 60), torch.ones(24, 60, dtype=torch.bool))
