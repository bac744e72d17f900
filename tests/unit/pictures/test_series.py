"""Numbered pictures that say how they were drawn, and which of them a run may take as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.pictures.series import Series

DRAWING: dict[str, Any] = {"seed": 3, "model_sha256": "0" * 64, "sampler": {"steps": 5, "eta": 0.0}}


@pytest.fixture
def image() -> Tensor:
    return torch.zeros(3, 4, 4, dtype=torch.uint8)


def series(
    folder: Path, count: int = 6, prompts: tuple[str, ...] = ("a star", "ein grüner Stern"), **drawing: Any
) -> Series:
    return Series(folder, count, prompts, DRAWING | drawing)


def test_what_is_there_is_known_again(tmp_path: Path, image: Tensor) -> None:
    assert series(tmp_path / "absent").drawn() == set()
    for index in (0, 1, 4):
        series(tmp_path).write(index, image)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".00002.png.0123456789abcdef.tmp").write_bytes(b"half")
    assert series(tmp_path).drawn() == {0, 1, 4}
    assert series(tmp_path, count=100).drawn() == {0, 1, 4}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"count": 4}, "holds 00004.png, and this run draws 4 pictures; give another folder"),
        ({"seed": 4}, "drawn with seed=3, and this run has 4; give another folder"),
        ({"model_sha256": "1" * 64}, "drawn with model_sha256=000"),
        ({"sampler": {"steps": 6, "eta": 0.0}}, "drawn with sampler="),
        ({"prompts": ("a star",)}, "drawn with prompt="),
        ({"precision": "bf16"}, "drawn with precision=None"),
    ],
)
def test_pictures_of_another_run_are_refused(tmp_path: Path, image: Tensor, other: dict[str, Any], told: str) -> None:
    for index in (1, 4):
        series(tmp_path).write(index, image)
    with pytest.raises(ValueError, match=told):
        series(tmp_path, **other).drawn()


def test_damaged_pictures_and_those_of_others_are_refused(tmp_path: Path, image: Tensor) -> None:
    series(tmp_path).write(0, torch.randint(256, (3, 16, 16), dtype=torch.uint8))
    whole = (tmp_path / "00000.png").read_bytes()
    for content in (whole[: len(whole) // 2 + 300], b"a user's own file"):
        (tmp_path / "00000.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"holds 00000\.png, damaged or none of ours"):
            series(tmp_path).drawn()
