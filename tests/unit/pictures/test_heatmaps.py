from __future__ import annotations

import numpy as np
import pytest
import torch

from ldmlab.pictures.contact_sheet import MARGIN
from ldmlab.pictures.heatmaps import BAR, SMALLEST, heat_sheet, inferno, map_size, overlay

TOP = BAR[1] + 2 * MARGIN
CELL = SMALLEST + MARGIN


def pictures(count: int) -> torch.Tensor:
    """White ones of 64 px."""
    return torch.full((count, 3, 64, 64), 255, dtype=torch.uint8)


def maps(*peaks: float) -> torch.Tensor:
    """One picture's maps, each with its peak in the upper left quarter and half of it elsewhere."""
    result = torch.ones(1, len(peaks), *map_size(64, 64)) / 2
    result[..., : SMALLEST // 2, : SMALLEST // 2] = 1
    return result * torch.tensor(peaks)[:, None, None]


def colour(value: float) -> tuple[int, ...]:
    """Of a white picture's place."""
    return tuple(overlay(pictures(1)[0], torch.full((1, 64, 64), float(value)))[0, :, 0, 0].tolist())


def cell(sheet: np.ndarray, column: int, row: int = 0, x: int = 50, y: int = 50) -> tuple[int, ...]:
    step = (sheet.shape[0] - TOP - MARGIN) // 2 if row else 0
    return tuple(sheet[TOP + MARGIN + row * step + y, MARGIN + column * CELL + x].tolist())


def test_colours_are_in_order_of_lightness_and_have_known_ends() -> None:
    colours = inferno(torch.linspace(0, 1, 101))
    assert bool((colours @ torch.tensor([0.2126, 0.7152, 0.0722])).diff().gt(0).all())
    ends = (255 * inferno(torch.tensor([-1.0, 0, 0.5, 1, 2]))).round().int().tolist()
    assert ends == [[0, 0, 4], [0, 0, 4], [186, 54, 85], [252, 255, 164], [252, 255, 164]]


def test_small_pictures_are_shown_larger_by_a_whole_factor() -> None:
    assert map_size(64, 64) == (192, 192)
    assert map_size(40, 80) == (120, 240)
    assert map_size(512, 512) == (512, 512)


def test_the_picture_shows_through_in_grey() -> None:
    picture = torch.zeros(3, 1, 3, dtype=torch.uint8)
    picture[1, 0, 1] = 200  # green on black
    background, object_, _ = overlay(picture, torch.zeros(1, 1, 3))[0, :, 0].T.tolist()
    assert background == [45, 45, 47]  # 0.35 * 127.5, and 0.65 of (0, 0, 4)
    grey = 0.35 * (255 + 0.587 * 200) / 2
    assert object_ == [round(grey), round(grey), round(grey + 0.65 * 4)]


def test_a_value_has_one_colour_on_any_background_and_in_the_key() -> None:
    heat = torch.full((1, 64, 64), 0.3)
    assert torch.equal(overlay(pictures(1)[0], heat), overlay(torch.zeros_like(pictures(1)[0]), heat))
    sheet = np.asarray(heat_sheet(pictures(1), maps(0.4), [["star"]], ["seed 0"]))
    assert tuple(sheet[MARGIN + 5, MARGIN + 12].tolist()) == colour(0)
    assert tuple(sheet[MARGIN + 5, MARGIN + 12 + BAR[0] - 1].tolist()) == colour(1)


def test_a_column_for_each_word_on_a_scale_of_its_own_or_one_for_all() -> None:
    words, titles = [["a", "star"]], ["seed 0"]
    own, common = (
        np.asarray(heat_sheet(pictures(1), maps(0.4, 0.2), words, titles, scale)) for scale in ("word", "common")
    )
    for sheet in (own, common):
        assert sheet.shape[1] == 3 * CELL + MARGIN
        assert cell(sheet, 0) == (255, 255, 255)  # the picture as it is
        assert cell(sheet, 1) == colour(1)
        assert cell(sheet, 1, x=150, y=150) == colour(0.5)
    assert cell(own, 2) == colour(1)
    assert cell(common, 2) == colour(0.5)
    assert cell(common, 2, x=150, y=150) == colour(0.25)


def test_pictures_with_fewer_words_have_white_cells_and_nothing_is_divided_by_zero() -> None:
    both = torch.cat([maps(0.4, 0.2), torch.cat([maps(0.0), maps(0.0)], dim=1)])
    sheet = np.asarray(heat_sheet(pictures(2), both, [["a", "star"], ["a"]], ["one", "two"]))
    assert cell(sheet, 2) == colour(1)
    assert cell(sheet, 1, row=1) == colour(0)
    assert cell(sheet, 2, row=1) == (255, 255, 255)


@pytest.mark.parametrize("scale", ["word", "common"])
def test_the_key_fits_and_labels_are_written(scale: str) -> None:
    sheet = np.asarray(heat_sheet(pictures(1), maps(0.4), [["star"]], ["seed 0"], scale))  # type: ignore[arg-type]
    assert sheet.shape[1] >= 2 * CELL + MARGIN
    assert (sheet[:TOP] < 100).any()
    assert not (sheet[:, -MARGIN:] < 100).any()
    below = sheet[TOP + MARGIN + SMALLEST + 3 :]
    assert (below[:, :CELL] < 100).any()
    assert (below[:, CELL:] < 100).any()
