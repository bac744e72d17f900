"""A folder as a newcomer has it: pictures of several kinds and sizes, captions beside them, and what is no picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

COLOURS = {"red": (200, 20, 20), "green": (20, 160, 40), "blue": (30, 40, 220)}


def _save(path: Path, size: tuple[int, int], colour: tuple[int, ...], **settings: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path, **settings)
    path.with_suffix(".txt").write_text(f"a plain\n  {path.parent.name} picture\n", encoding="utf-8-sig")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of three colours in three folders, not to be written to."""
    root = tmp_path_factory.mktemp("own") / "pictures"
    for name, colour in COLOURS.items():
        for number in range(8):
            extension = ("jpg", "png", "webp", "JPEG")[number % 4]
            _save(root / name / f"{number}.{extension}", (40 + number, 30), (*colour[:2], colour[2] + number))
    return root
