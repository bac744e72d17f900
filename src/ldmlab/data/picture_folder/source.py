"""The user's own pictures: every JPEG, PNG and WebP below a folder, each once."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmlab.data.index.sample_table import MOST_IMAGE_BYTES
from ldmlab.data.picture_folder.captions import AUTO, read_captions
from ldmlab.data.picture_folder.files import READ, READERS, class_of, picture_files
from ldmlab.data.problems import Defect
from ldmlab.data.sample_source import SPLITS, Sample, UnusableError, check_split
from ldmlab.data.writing.pictures import check_heldout, check_image_size, sample_of
from ldmlab.files import read_regular

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """One file: its path below the folder, the SHA-256 of its bytes, and what is said of it."""

    file: str
    sha256: str
    caption: str
    label: int | None


@dataclass(frozen=True)
class PictureFolder:
    """Pictures of any size in a folder and the folders below it.

    The hash of a file's bytes decides its split and its place. So equal files stay together, and a picture stays where
    it is when others are added, or when it is renamed.

    Args:
        folder: of the pictures. Names that begin with a dot are passed over.
        captions: see `read_captions`.
        classes: number the folders in `folder` in alphabetic order, and label each picture with its folder's number.
        heldout: share of the pictures to hold out, in [0, 1).
        image_size: pixels of the shorter side that larger pictures are made smaller to; others, and all where it is
            None, are stored as the files that they are.
        image_format: of pictures that were made smaller: "jpg", "png" or "webp".
    """

    folder: str
    captions: str = AUTO
    classes: bool = False
    heldout: float = 0.1
    image_size: int | None = None
    image_format: str = "jpg"

    name = "folder"
    licence = "NOASSERTION"
    attribution = ""

    def __post_init__(self) -> None:
        if not Path(self.folder).is_dir():
            raise ValueError(f"dataset.folder={self.folder}: no such folder; give one of pictures")
        check_heldout(self.heldout)
        check_image_size(self.image_size)

    def config(self) -> dict[str, Any]:
        """Return everything that decides the samples; of the pictures, one hash over names, bytes, captions, labels."""
        settings = {name: value for name, value in asdict(self).items() if name not in ("folder", "captions")}
        lines = [json.dumps(asdict(picture)) for split in SPLITS for picture in self._plan[split]]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return {**settings, "classes": list(self.class_names), "pictures": digest}

    def count(self, split: str) -> int:
        """Return the number of pictures of a split; the first call reads every file."""
        check_split(split)
        return len(self._plan[split])

    def sample(self, split: str, index: int) -> Sample:
        """Read a picture; `meta` names its `file`, and its `original_width` and height as shown.

        Raises:
            UnusableError: the file is no picture that can be read, or has no class where classes are asked for.
        """
        check_split(split)
        picture = self._plan[split][index]
        payload = self._payload(picture)
        return sample_of(payload, picture.file, picture.caption, {"file": picture.file}, picture.label, self.image_size)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their numbers; none unless they are asked for."""
        return tuple(sorted({class_of(file) for file in self._files} - {""})) if self.classes else ()

    @cached_property
    def _files(self) -> list[str]:
        found = picture_files(Path(self.folder))
        if not any(name.lower().endswith(READ) for name in found):
            raise ValueError(
                f"dataset.folder={self.folder}: holds no picture; give a folder of JPEG, PNG or WebP files"
            )
        return found

    @cached_property
    def _plan(self) -> dict[str, list[Picture]]:
        """The pictures of each split in the order of their hashes; it travels to workers with the source."""
        captions = read_captions(Path(self.folder), self._files, self.captions)
        numbers = {name: number for number, name in enumerate(self.class_names)}
        plan: dict[str, list[Picture]] = {split: [] for split in SPLITS}
        with ThreadPoolExecutor(READERS) as readers:
            digests = dict(zip(self._files, readers.map(self._sha256, self._files), strict=True))
        for file, digest in digests.items():
            picture = Picture(file, digest, captions.get(file, ""), numbers.get(class_of(file)))
            plan["heldout" if int(digest[:16], 16) < self.heldout * 2**64 else "train"].append(picture)
        if self.heldout and not plan["heldout"]:
            log.warning(
                "none of %d pictures is held out by dataset.heldout=%g; give more", len(self._files), self.heldout
            )
        if self.classes:
            log.info("%d classes: %s", len(numbers), ", ".join(f"{n} {name}" for name, n in numbers.items()))
        return {split: sorted(found, key=lambda each: (each.sha256, each.file)) for split, found in plan.items()}

    def _sha256(self, file: str) -> str:
        """Of the file's bytes; of its name where they cannot be read, which is told when it is to be stored."""
        try:
            return hashlib.sha256(read_regular(Path(self.folder) / file, MOST_IMAGE_BYTES)).hexdigest()
        except OSError:
            return hashlib.sha256(file.encode(errors="surrogateescape")).hexdigest()

    def _payload(self, picture: Picture) -> bytes:
        """The file, if it looks like what can be stored."""
        if not picture.file.lower().endswith(READ):
            raise UnusableError(Defect.UNDECODABLE_IMAGE, picture.file, "no JPEG, PNG or WebP: convert it")
        if self.classes and picture.label is None:
            raise UnusableError(Defect.MISSING_LABEL, picture.file, "in none of the folders, which are the classes")
        try:
            return read_regular(Path(self.folder) / picture.file, MOST_IMAGE_BYTES)
        except OSError as error:
            raise UnusableError(
                Defect.UNDECODABLE_IMAGE, picture.file, (error.strerror or str(error)).lower()
            ) from error
