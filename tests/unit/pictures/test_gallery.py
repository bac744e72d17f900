"""A list of pictures that says how each was drawn and shows itself in a notebook."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldmlab.pictures.gallery import Pictures
from ldmlab.pictures.png import read_settings, with_settings


def picture(value: int, prompt: str, size: tuple[int, int] = (6, 4)) -> Image.Image:
    return with_settings(Image.new("RGB", size, (value, 0, 0)), {"prompt": prompt, "seed": value})


@pytest.fixture
def pictures() -> Pictures:
    return Pictures([picture(1, "a star"), picture(2, "a „Stern“ ✨"), picture(3, "a star")])


def test_it_is_a_list_whose_parts_keep_what_is_known_of_them(pictures: Pictures) -> None:
    assert isinstance(pictures, list)
    assert [type(part) for part in (pictures[1:], pictures + pictures[:1], pictures[0])] == [
        Pictures,
        Pictures,
        Image.Image,
    ]
    assert (pictures[1:] + Pictures([Image.new("RGB", (6, 4))])).prompts == ["a „Stern“ ✨", "a star", ""]
    assert [told["seed"] for told in pictures[::-1].settings if told] == [3, 2, 1]


def test_as_an_array(pictures: Pictures) -> None:
    array = pictures.numpy()
    assert (array.dtype, array.shape) == (np.uint8, (3, 4, 6, 3))
    assert array[:, 0, 0, 0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="takes pictures of one size; these are 4 x 6, 9 x 8"):
        (pictures + Pictures([picture(4, "a star", (8, 9))])).numpy()
    with pytest.raises(ValueError, match="these are none"):
        Pictures().numpy()


def test_files_say_how_they_were_drawn(pictures: Pictures, tmp_path: Path) -> None:
    folder = pictures.save(tmp_path / "new" / "folder")
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"0000{n}.png" for n in range(3)),
        "contact_sheet.png",
    ]
    assert read_settings(folder / "00001.png") == {"prompt": "a „Stern“ ✨", "seed": 2}
    assert Pictures([Image.open(folder / "00001.png")]).prompts == ["a „Stern“ ✨"]


def test_notebooks_and_terminals_show_it(pictures: Pictures) -> None:
    shown = pictures._repr_png_()
    assert shown is not None
    assert Image.open(BytesIO(shown)).size == pictures.sheet().size
    assert repr(pictures) == "<3 pictures of 4 x 6 pixels: 'a star', 'a „Stern“ ✨'>"
    mixed = pictures + Pictures([picture(4, "a big star", (8, 9))])
    assert repr(mixed) == "<4 pictures: 'a star', 'a „Stern“ ✨', 'a big star'>"
    assert mixed.sheet().size > (0, 0)
    assert (Pictures()._repr_png_(), repr(Pictures())) == (None, "<0 pictures>")
