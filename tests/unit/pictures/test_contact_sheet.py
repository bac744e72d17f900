from __future__ import annotations

import numpy as np
import pytest
import torch

from ldmlab.pictures.contact_sheet import MARGIN, contact_sheet, to_pil


def images(count: int, size: int = 128) -> torch.Tensor:
    """Picture i is of colour (10 i, 0, 255)."""
    result = torch.zeros(count, 3, size, size, dtype=torch.uint8)
    result[:, 0] = 10 * torch.arange(count, dtype=torch.uint8).view(-1, 1, 1)
    result[:, 2] = 255
    return result


def test_a_picture_keeps_its_pixels() -> None:
    image = torch.randint(256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(np.asarray(to_pil(image)), image.permute(1, 2, 0).numpy())


def test_pictures_lie_row_by_row() -> None:
    sheet = np.asarray(contact_sheet(images(5), columns=3))
    cell = 128 + MARGIN
    assert sheet.shape == (2 * cell + MARGIN, 3 * cell + MARGIN, 3)
    for index in range(5):
        row, column = divmod(index, 3)
        assert tuple(sheet[row * cell + 60, column * cell + 60]) == (10 * index, 0, 255)
    assert tuple(sheet[cell + 60, 2 * cell + 60]) == (255, 255, 255)


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    assert contact_sheet(images(1, size=48)).width == 3 * 48 + 2 * MARGIN


def test_labels_are_written_below() -> None:
    plain, labelled = contact_sheet(images(2)), contact_sheet(images(2), ["a red star", "word " * 100])
    assert labelled.height > plain.height
    below = np.asarray(labelled)[MARGIN + 128 + 3 :]
    assert (below[:, :134] < 100).any()
    assert (below[:, 134:] < 100).any()


def test_nothing_and_missing_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet(images(0))
    with pytest.raises(ValueError, match="2 pictures got 1 labels"):
        contact_sheet(images(2), ["one"])
