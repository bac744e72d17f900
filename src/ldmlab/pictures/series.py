"""The pictures of a run of `ldmlab sample`: numbered files, each of which says how it was drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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

    def drawn(self) -> set[int]:
        """The numbers of the pictures that are there, drawn as these are to be.

        Raises:
            ValueError: there is a picture that is none of these.
        """
        found = set()
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            match = _NUMBERED.fullmatch(path.name)
            if match is None:
                continue
            if int(match[1]) >= self.count:
                raise ValueError(f"{self._holds(path)}, and this run draws {self.count} pictures; give another folder")
            self._require_own(path, int(match[1]))
            found.add(int(match[1]))
        return found

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
