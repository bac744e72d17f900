"""Pictures as a user has them: the same ten as an array, in .npz files and in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@pytest.fixture
def pixels() -> Pixels:
    """(10, 12, 16, 3)"""
    return np.random.default_rng(0).integers(0, 256, (10, 12, 16, 3), np.uint8)


@pytest.fixture
def folder(pixels: Pixels, tmp_path: Path) -> Path:
    """Of PNG files 000.png to 009.png."""
    return write_folder(tmp_path / "folder", pixels)


def write_folder(folder: Path, pixels: Pixels) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    return folder
