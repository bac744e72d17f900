from __future__ import annotations

import numpy as np
import pytest

from ldmlab.pictures.confusion import CELL, LABELS, MARGIN, SIZE, confusion_sheet
from ldmlab.pictures.heatmaps import INFERNO


def test_a_cell_has_the_colour_of_its_share_of_the_row() -> None:
    names = ("circle", "star")
    sheet = np.asarray(confusion_sheet({"shape": (names, (*names, "nothing"), [[3, 0, 0], [0, 0, 0]])}))
    top, left = MARGIN + 3 * SIZE + 2, MARGIN + LABELS + 2
    darkest, lightest = (tuple(bytes.fromhex(colour)) for colour in (INFERNO.split()[0], INFERNO.split()[-1]))
    assert tuple(sheet[top, left]) == lightest
    assert tuple(sheet[top, left + CELL]) == tuple(sheet[top + CELL, left]) == darkest
    two = confusion_sheet({name: (names, names, [[1, 0], [0, 1]]) for name in ("a", "b")})
    assert two.width > sheet.shape[1]


def test_a_column_is_as_wide_as_its_label() -> None:
    narrow, wide = (confusion_sheet({"a": (("x",), (label,), [[1]])}) for label in ("x", "a label that is long"))
    assert narrow.width == 2 * MARGIN + LABELS + CELL < wide.width


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one matrix"):
        confusion_sheet({})
