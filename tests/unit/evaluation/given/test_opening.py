"""Folders and .npz files give the pictures that are in them, or say in one line what is wrong."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy
from PIL import Image

from ldmlab.data.decoding.fit import fit
from ldmlab.evaluation.given.opening import open_pictures
from ldmlab.evaluation.given.picture_set import GivenPictures

from .conftest import Pixels


def all_of(pictures: GivenPictures) -> Pixels:
    batches = [pictures.pictures(part)["images"] for part in pictures.parts()]
    return np.concatenate([batch.permute(0, 2, 3, 1).numpy() for batch in batches])


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(ValueError, match="pictures=") as error:
        all_of(open_pictures(path, "pictures", **settings))
    line = str(error.value)
    assert line.startswith(f"pictures={path}")
    assert "\n" not in line
    return line


SAVE: dict[str, Callable[..., None]] = {"plain": np.savez, "packed": np.savez_compressed}


@pytest.mark.parametrize("save", SAVE)
def test_an_npz_file_gives_its_pictures_and_labels(pixels: Pixels, tmp_path: Path, save: str) -> None:
    SAVE[save](tmp_path / "a.npz", pixels, np.arange(10))
    whole = open_pictures(tmp_path / "a.npz", "pictures", batch_size=4)
    assert (whole.n, whole.size, whole.chosen, whole.kind, len(whole.parts())) == (10, (12, 16), "all", "npz", 3)
    assert (all_of(whole) == pixels).all()
    assert whole.pictures(range(8, 10))["labels"] == whole.known({"labels"})["labels"][8:] == [8, 9]
    some = open_pictures(tmp_path / "a.npz", "pictures", n=4, batch_size=3)
    rows = some.known({"labels"})["labels"]
    assert rows == sorted({*rows})
    assert rows != [0, 1, 2, 3]
    assert (all_of(some) == pixels[rows]).all()
    assert all_of(open_pictures(tmp_path / "a.npz", "pictures", n=4)).tobytes() == pixels[rows].tobytes()
    assert some.chosen == "4 of 10, drawn with seed 0"
    assert some.about() != whole.about()


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(folder: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels[0][:4]).save(folder / "contact_sheet.png")
    pictures = open_pictures(folder, "pictures", batch_size=4)
    assert (all_of(pictures) == pixels).all()
    assert pictures.names == {"keys"}
    assert pictures.known({"keys"})["keys"][3] == "003"
    for number in range(10):
        (folder / f"{number:03d}.txt").write_text(f"number {number}")
    captioned = open_pictures(folder, "pictures")
    assert captioned.pictures(range(3, 5))["captions"] == ["number 3", "number 4"]
    assert captioned.fingerprint != pictures.fingerprint
    for name, places in {"cat": range(5), "ant": range(5, 10)}.items():
        (folder / name).mkdir()
        for number in places:
            os.rename(folder / f"{number:03d}.png", folder / name / f"{number:03d}.png")
    classes = open_pictures(folder, "pictures")
    assert (all_of(classes) == np.roll(pixels, 5, axis=0)).all()
    assert classes.known({"labels"})["labels"] == [0] * 5 + [1] * 5


def test_other_pixels_have_another_fingerprint(folder: Path, pixels: Pixels) -> None:
    before = open_pictures(folder, "pictures").fingerprint
    stamp = (folder / "003.png").stat()
    Image.fromarray(pixels[3][::-1]).save(folder / "003.png")
    os.utime(folder / "003.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert open_pictures(folder, "pictures").fingerprint != before


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_pictures_of_any_size_are_made_to_fit(folder: Path, pixels: Pixels, tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "a.npz", pixels)
    if kind == "folder":
        Image.fromarray(np.tile(pixels[0], (2, 2, 1))).save(folder / "000.png")
    path = folder if kind == "folder" else tmp_path / "a.npz"
    fitted = open_pictures(path, "pictures", image_size=8)
    assert fitted.size == (8, 8)
    assert (all_of(fitted)[1:] == np.stack([fit(picture, (8, 8)) for picture in pixels[1:]])).all()


def test_a_folder_without_pictures_to_measure_is_refused(folder: Path, pixels: Pixels, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refusal(empty).endswith("holds no picture; give at least 2")
    Image.fromarray(pixels[0]).save(empty / "one.png")
    assert "holds one picture, which is too few to measure; give at least 2" in refusal(empty)
    assert "holds 10 pictures, and 11 are asked for; n=null takes all" in refusal(folder, n=11)
    Image.fromarray(pixels[0][:4]).save(folder / "small.png")
    assert re.search(
        r"000\.png is 16 x 12 and small\.png is 16 x 4 pixels; give image_size=12 to crop and scale all",
        refusal(folder),
    )
    (folder / "small.png").write_bytes(b"no picture at all")
    assert "small.png: undecodable image; save it again, or take it away" in refusal(folder)
    (folder / "small.png").rename(folder / "small.gif")
    assert "small.gif is no JPEG, PNG or WebP; convert it, or take it away" in refusal(folder)
    (folder / "small.gif").unlink()
    payload = (folder / "004.png").read_bytes()
    (folder / "004.png").write_bytes(payload[: len(payload) // 2])
    assert re.search(r"004\.png: damaged \(.*\); save the picture again", refusal(folder))
    (folder / "captions.csv").write_text("file,caption\n000.png,a,b\n")
    assert re.search(r"its captions cannot be read: .*captions\.csv, line 2", refusal(folder))


BAD: dict[str, tuple[Callable[[Pixels], tuple[Any, ...]], str]] = {
    "floats": (lambda a: (a / 255,), r"arr_0 is float64 \(10, 12, 16, 3\); pictures are uint8 \(N, H, W, 3\)"),
    "channels first": (lambda a: (a.transpose(0, 3, 1, 2),), r"arr_0 is uint8 \(10, 3, 12, 16\)"),
    "grey": (lambda a: (a[..., :1],), r"arr_0 is uint8 \(10, 12, 16, 1\)"),
    "one": (lambda a: (a[:1],), "holds one picture, which is too few"),
    "none": (lambda a: (a[:0],), "holds no picture"),
    "no pixels": (lambda a: (a[:, :0],), "pictures of 0 x 16"),
    "objects": (lambda a: (np.array([a, None], object),), "arr_0 holds Python objects, which are not read"),
    "object labels": (lambda a: (a, np.array([None] * 10)), "arr_1 holds Python objects, which are not read"),
    "few labels": (lambda a: (a, np.arange(3)), r"arr_1 is int64 \(3,\), and labels are 10 integers"),
    "columns first": (lambda a: (np.asfortranarray(a),), "arr_0 is in Fortran order"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_npz_file_of_something_else_is_refused(pixels: Pixels, tmp_path: Path, what: str) -> None:
    make, words = BAD[what]
    np.savez(tmp_path / "bad.npz", *make(pixels))
    assert re.search(words, refusal(tmp_path / "bad.npz"))


def test_an_npz_file_without_pictures_says_what_it_holds(pixels: Pixels, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", images=pixels, labels=np.arange(10))
    assert "holds images, labels; pictures are read from arr_0, uint8 (N, H, W, 3)" in refusal(tmp_path / "bad.npz")


def test_a_damaged_npz_file_is_refused(pixels: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, pixels)
    whole = path.read_bytes()
    for damaged in (b"", b"no zip file", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert "is no whole .npz file" in refusal(path)
    path.write_bytes(whole[:2000] + bytes(20) + whole[2020:])
    assert "is no whole .npz file" in refusal(path)
    os.mkfifo(tmp_path / "pipe.npz")
    assert "is a pipe, no file; give an .npz file" in refusal(tmp_path / "pipe.npz")
    assert "no such file or directory; give an .npz file" in refusal(tmp_path / "nothing.npz")


@pytest.mark.parametrize("shape", [(10**9, 256, 256, 3), (2, 10**6, 10**6, 3), (-1, -1, 4, 3)])
def test_a_file_that_claims_more_than_it_has_takes_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as file:
        file.writestr("arr_0.npy", header.getvalue() + bytes(100))
    assert "arr_0" in refusal(tmp_path / "bad.npz")


def test_enormous_pictures_and_numbers_of_pictures_are_refused(
    pixels: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", pixels)
    monkeypatch.setattr("ldmlab.evaluation.given.source.MOST_PICTURES", 9)
    assert "holds 10 pictures; give at most 9" in refusal(tmp_path / "a.npz")
    monkeypatch.setattr("ldmlab.evaluation.given.array.MOST_PIXELS", 191)
    assert "pictures of 12 x 16; give 1 to 191 pixels each" in refusal(tmp_path / "a.npz")
