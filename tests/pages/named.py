"""Files of the reader's own that a page names, made small when a line first names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from .lines import Line

Make = Callable[[Path], object]


class Named:
    """(name as pages write it -> how it is made), in the folder that a page's lines run in."""

    def __init__(self, makers: dict[str, Make]) -> None:
        self.makers = makers

    def make(self, line: Line) -> None:
        """Make what the line names and earlier lines have not written."""
        for name, make in self.makers.items():
            read = [word for word in line.words if not word.startswith("output")]
            if any(word.rpartition("=")[2].rstrip("/") == name for word in read) and not Path(name).exists():
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                make(Path(name))


def picture(side: int) -> Make:
    """A red disc on blue."""

    def make(path: Path) -> None:
        image = Image.new("RGB", (side, side), (40, 60, 200))
        image.paste((220, 40, 40), (side // 4, side // 4, side // 2, side // 2))
        image.save(path)

    return make


def mask(side: int) -> Make:
    """White in the lower right quarter."""

    def make(path: Path) -> None:
        image = Image.new("L", (side, side))
        image.paste(255, (side // 2, side // 2, side, side))
        image.save(path)

    return make


def captioned_pictures(folder: Path) -> None:
    """80 pictures of 80 x 64 px in two folders, with captions beside them."""
    for number in range(80):
        kind = ("cat", "dog")[number % 2]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 64), (3 * number, 90, 200)).save(folder / kind / f"{number:02d}.jpg")
        (folder / kind / f"{number:02d}.txt").write_text(f"a {kind} on a sofa")
