"""Reading a folder in PIE-Bench's layout: prompts, masks, which edits are taken, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldmlab.evaluation.pie_bench.folder import PieFolder, decode_mask

from ....pie_folder import change_entry, runs_of, write_pie_folder

KEY = "000000000001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pie_folder(tmp_path / "pie", "0110110")


def published_mask(runs: list[int], side: int) -> np.ndarray:
    """As the benchmark's evaluation decodes it, pixel by pixel."""
    flat = [0] * (side * side)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        for pixel in range(start, min(start + length, side * side)):
            flat[pixel] = 1
    mask = np.array(flat).reshape(side, side)
    mask[0], mask[-1], mask[:, 0], mask[:, -1] = 1, 1, 1, 1
    return mask == 1


@pytest.mark.parametrize("runs", [[], [40, 3, 60, 500], [0, 1], [255, 9], [20, 5, 22, 9]])
def test_masks_are_read_as_the_benchmark_reads_them(runs: list[int]) -> None:
    assert (decode_mask(runs, 16, 16).numpy() == published_mask(runs, 16)).all()


def test_a_mask_comes_back() -> None:
    mask = np.random.default_rng(0).random((12, 20)) < 0.3
    mask[[0, -1]] = mask[:, [0, -1]] = True
    assert (decode_mask(runs_of(mask), 12, 20).numpy() == mask).all()


@pytest.mark.parametrize("runs", [[1], [1, -2], [-1, 2], [0.5, 1], [True, 1], ["1", 2]])
def test_what_is_no_mask_is_refused(runs: list[Any]) -> None:
    with pytest.raises(ValueError, match="its mask is not pairs of start and length"):
        decode_mask(runs, 16, 16)


def test_a_mask_of_a_larger_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="begins a run at pixel 256, and the picture of 16 x 16 has fewer"):
        decode_mask([256, 1], 16, 16)


def test_prompts_lose_their_brackets(folder: Path) -> None:
    change_entry(folder, KEY, original_prompt="a [round] [big] cake", blended_word="cake cake")
    case = PieFolder.read(folder).cases[1]
    assert (case.key, case.source, case.words) == (KEY, "a round big cake", ("cake", "cake"))
    assert "[" not in case.target


def test_so_many_of_each_category_are_drawn(folder: Path) -> None:
    read = PieFolder.read(folder)
    assert [case.category for case in read.chosen(2, None, 0)].count("1") == 2
    assert len(read.chosen(None, None, 0)) == 7
    chosen = read.chosen(2, ["1"], 0)
    assert chosen == [case for case in read.chosen(2, None, 0) if case.category == "1"]
    draws = {tuple(case.key for case in read.chosen(2, ["1"], seed)) for seed in range(8)}
    assert len(draws) > 1
    assert all(list(keys) == sorted(keys) for keys in draws)


def test_a_category_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"categories=7: mapping_file.json has no such edits, but those of 0, 1"):
        PieFolder.read(folder).chosen(None, ["7"], 0)


def test_a_picture_that_is_missing(folder: Path) -> None:
    (folder / f"annotation_images/1_kind/{KEY}.png").unlink()
    with pytest.raises(ValueError, match=rf"{KEY}: there is no picture annotation_images/1_kind/{KEY}.png"):
        PieFolder.read(folder).chosen(None, None, 0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "mapping_file.json: no such file or directory; give a folder with PIE-Bench's mapping_file.json and"),
        ("{", "mapping_file.json is no JSON"),
        ("[" * 100_000, "mapping_file.json is no JSON"),
        ("[]", "mapping_file.json names no edit"),
        ("{}", "mapping_file.json names no edit"),
        ('{"a": 1}', "a: has to give image_path, original_prompt, editing_prompt"),
    ],
)
def test_mapping_files_that_are_none(folder: Path, text: str | None, told: str) -> None:
    (folder / "mapping_file.json").unlink()
    if text is not None:
        (folder / "mapping_file.json").write_text(text)
    with pytest.raises(ValueError, match=told):
        PieFolder.read(folder)


def test_an_entry_without_a_mask(folder: Path) -> None:
    change_entry(folder, KEY, mask=None)
    with pytest.raises(ValueError, match=f"{KEY}: has to give its mask as a list of starts and lengths"):
        PieFolder.read(folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "../mapping_file.json"])
def test_pictures_outside_the_folder_are_not_read(folder: Path, name: str) -> None:
    change_entry(folder, KEY, image_path=name)
    with pytest.raises(ValueError, match=f"image_path={name} leads out of annotation_images/"):
        PieFolder.read(folder)
