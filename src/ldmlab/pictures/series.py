"""The pictures of a run of `ldmlab sample`: numbered files, each of which says how it was drawn."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.atomic import atomic_file
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.png import read_settings, write_png

_NUMBERED = re.compile(r"(\d{5,})\.png")


def picture_record(
    drawing: Mapping[str, Any], prompt: str | None, index: int, negative_prompt: str | None = None
) -> dict[str, Any]:
    """What a picture says: the same for the same picture, whichever command drew it.

    Args:
        drawing: see `drawing_record`.
        prompt: what it shows; None where none was given.
        index: its number; it draws its noise from (seed, index).
        negative_prompt: what guidance led away from, if anything.
    """
    return {"prompt": prompt, "negative_prompt": negative_prompt, "index": index, **drawing}


@dataclass(frozen=True)
class Series:
    """So many pictures in a folder, dealt to the prompts in turn.

    Attributes:
        folder: where they go.
        count: how many.
        prompts: of which each gets some.
        drawing: what is said of all of them, see `drawing_record`.
        negative_prompt: what guidance leads away from, if anything.
    """

    folder: Path
    count: int
    prompts: Sequence[str]
    drawing: Mapping[str, Any]
    negative_prompt: str | None = None

    def path(self, index: int) -> Path:
        """The file of a picture."""
        return self.folder / f"{index:05d}.png"

    def prompt(self, index: int) -> str:
        """The prompt of a picture, by its number."""
        return self.prompts[index % len(self.prompts)]

    def settings_of(self, index: int) -> dict[str, Any]:
        """What the PNG of a picture says of how it was drawn."""
        return picture_record(self.drawing, self.prompt(index), index, self.negative_prompt)

    def write_prompts(self) -> None:
        """Write what each picture shows, a line each, in a file that can be given as prompts again."""
        with atomic_file(self.folder / "prompts.txt") as file:
            file.writelines(f"{self.prompt(index)}\n".encode() for index in range(self.count))

    def write(self, index: int, image: UInt8[Tensor, "3 H W"]) -> None:
        """Write a picture, whole or not at all."""
        write_png(self.path(index), to_pil(image), self.settings_of(index))

    def found(self) -> list[int]:
        """The numbers of the pictures that are there, in order.

        Raises:
            ValueError: there is one that is none of these.
        """
        with os.scandir(self.folder) if self.folder.is_dir() else nullcontext(()) as entries:
            names = [entry.name for entry in entries]
        numbers = sorted(int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match)
        beyond = bisect_left(numbers, self.count)
        if beyond < len(numbers):
            where = self._holds(self.path(numbers[beyond]))
            raise ValueError(f"{where}, and this run draws {self.count} pictures; give another folder")
        return numbers

    def drawn(self, numbers: Sequence[int] | None = None) -> set[int]:
        """The numbers of pictures that are there, all of which must be drawn as these are to be.

        Args:
            numbers: of those to look at, see `found`; all of them if not given.

        Raises:
            ValueError: naming a picture that is not.
        """
        looked_at = self.found() if numbers is None else numbers
        for number in looked_at:
            self._require_own(self.path(number), number)
        return set(looked_at)

    def _require_own(self, path: Path, index: int) -> None:
        wanted, found = self.settings_of(index), read_settings(path)
        if found is None:
            raise ValueError(f"{self._holds(path)}, damaged or none of ours; take it away, or give another folder")
        for key in {**wanted, **found}:
            if wanted.get(key) != found.get(key):
                raise ValueError(
                    f"{self._holds(path)}, drawn with {key}={found.get(key)}, and this run has {wanted.get(key)}; give "
                    "another folder"
                )

    def _holds(self, path: Path) -> str:
        return f"output_dir={self.folder}: holds {path.name}"
