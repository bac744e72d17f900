"""The pictures in a folder and the folders below it: JPEG, PNG and WebP files in the order of their names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.data.picture_folder.captions import find_captions
from ldmlab.data.picture_folder.files import READ, READERS, class_of, picture_files
from ldmlab.data.shards.image_header import Sides, image_sides
from ldmlab.evaluation.given.source import require_pictures, stacked
from ldmlab.files import read_regular
from ldmlab.pictures.reading import MOST_BYTES, MOST_PIXELS, read_picture

SHEET = "contact_sheet.png"
"""What commands of ldmlab write beside pictures."""


class _Looked(NamedTuple):
    sha256: str
    sides: Sides


class FolderSource:
    """The pictures of a folder; see `PictureSource`. Each file is read once to begin with, and not decoded.

    Args:
        folder: of the pictures. Names that begin with a dot are passed over, and the contact sheet of a run of ldmlab.
        key: the setting that named it, for errors.
        image_size: to whose square pictures are cropped and scaled; None asks for pictures of one size.

    Raises:
        ValueError: there are fewer than two pictures, or files that are not read, naming one; pictures differ in
            size, naming two.
    """

    kind = "folder"

    def __init__(self, folder: Path, key: str, image_size: int | None = None) -> None:
        self.where, self._key, self._folder, self._image_size = f"{key}={folder}", key, folder, image_size
        self.files = [file for file in picture_files(folder) if file != SHEET]
        require_pictures(self.where, len(self.files))
        with ThreadPoolExecutor(READERS) as readers:
            looked = list(readers.map(self._look, self.files))
        width, height = self._common([each.sides for each in looked])
        self.size = (height, width)
        self.columns = self._known()
        lines = zip(self.files, [each.sha256 for each in looked], *self.columns.values(), strict=True)
        self.fingerprint = hashlib.sha256("\n".join(map(json.dumps, lines)).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.files)

    def images(self, rows: Sequence[int]) -> UInt8[Tensor, "B 3 H W"]:
        """The pictures of some rows, in order; see `PictureSource`."""
        with ThreadPoolExecutor(READERS) as readers:
            return stacked(list(readers.map(self._picture, rows)), self._image_size)

    def _picture(self, row: int) -> UInt8[Tensor, "3 _ _"]:
        return read_picture(str(self._folder / self.files[row]), self._key)

    def _look(self, file: str) -> _Looked:
        """The digest and the size of a file, which looks like a picture."""
        if not file.lower().endswith(READ):
            raise ValueError(f"{self.where}: {file} is no JPEG, PNG or WebP; convert it, or take it away")
        try:
            payload = read_regular(self._folder / file, MOST_BYTES)
        except OSError as error:
            raise ValueError(f"{self.where}: {file}: {(error.strerror or str(error)).lower()}; mend it") from error
        sides = image_sides(BytesIO(payload), MOST_PIXELS)
        if isinstance(sides, str):
            raise ValueError(f"{self.where}: {file}: {sides}; save it again, or take it away")
        return _Looked(hashlib.sha256(payload).hexdigest(), sides)

    def _common(self, sides: Sequence[Sides]) -> Sides:
        if self._image_size is not None:
            return self._image_size, self._image_size
        other = next((number for number, each in enumerate(sides) if each != sides[0]), None)
        if other is not None:
            named = [f"{self.files[number]} is {sides[number][0]} x {sides[number][1]}" for number in (0, other)]
            raise ValueError(
                f"{self.where}: {named[0]} and {named[1]} pixels; give image_size={min(sides[0])} to crop and scale "
                "all, or pictures of one size"
            )
        return sides[0]

    def _known(self) -> dict[str, list[Any]]:
        """Names; captions where each picture has one; classes where each lies in the folder of one."""
        try:
            captions = find_captions(self._folder, self.files)
        except ValueError as error:
            raise ValueError(f"{self.where}: its captions cannot be read: {error}") from error
        classes = {name: number for number, name in enumerate(sorted({class_of(file) for file in self.files}))}
        known: dict[str, list[Any]] = {"keys": [Path(file).with_suffix("").as_posix() for file in self.files]}
        if len(captions) == len(self.files):
            known["captions"] = [captions[file] for file in self.files]
        if "" not in classes:
            known["labels"] = [classes[class_of(file)] for file in self.files]
        return known
