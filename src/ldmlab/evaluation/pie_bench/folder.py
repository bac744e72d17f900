"""A folder in PIE-Bench's layout: `mapping_file.json` with a prompt pair and a mask each, beside `annotation_images/`.

The layout, and the rules for brackets and masks, are those of the benchmark's own evaluation (Ju et al., "Direct
Inversion", 2023; github.com/cure-lab/PnPInversion). Shapes: H x W pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ldmlab.files import read_regular

MAPPING, PICTURES = "mapping_file.json", "annotation_images"
MOST_BYTES = 2**28
"""Of a mapping file; the benchmark's own has some megabytes."""
CATEGORIES = {
    "0": "random",
    "1": "change object",
    "2": "add object",
    "3": "delete object",
    "4": "change content",
    "5": "change pose",
    "6": "change color",
    "7": "change material",
    "8": "change background",
    "9": "change style",
}
"""The kinds of edits by `editing_type_id`."""
_FIELDS = ("image_path", "original_prompt", "editing_prompt", "editing_type_id", "blended_word")


@dataclass(frozen=True)
class PieCase:
    """An edit of a given picture.

    Attributes:
        key: its name in the mapping file.
        category: its `editing_type_id`, see `CATEGORIES`.
        picture: the file.
        source: prompt of the picture as it is, without brackets.
        target: prompt of the edited picture, without brackets.
        words: the word of the source prompt whose place may change, and the target's; empty where none is said.
        runs: the mask, as `decode_mask` reads it.
    """

    key: str
    category: str
    picture: Path
    source: str
    target: str
    words: tuple[str, ...]
    runs: Sequence[int]

    def mask(self, rows: int, columns: int) -> Bool[Tensor, "rows columns"]:
        """Where the picture, of this size, may change.

        Raises:
            ValueError: the runs are no mask of such a picture.
        """
        try:
            return decode_mask(self.runs, rows, columns)
        except ValueError as error:
            raise ValueError(f"{MAPPING}: {self.key}: {error}") from error


@dataclass(frozen=True)
class PieFolder:
    """The edits of a folder.

    Attributes:
        path: the folder.
        cases: in the order of the mapping file.
        sha256: of the mapping file.
    """

    path: Path
    cases: Sequence[PieCase]
    sha256: str

    @staticmethod
    def read(path: Path | str) -> PieFolder:
        """Read the mapping file; of pictures only whether they are there.

        Raises:
            ValueError: it is absent, or not as the benchmark's; or a picture is missing.
        """
        path = Path(path)
        payload = _payload(path)
        try:
            entries = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"path={path}: {MAPPING} is no JSON ({error}); fetch PIE-Bench again") from error
        if not isinstance(entries, dict) or not entries:
            raise ValueError(f"path={path}: {MAPPING} names no edit; it has to hold one entry a picture, by its key")
        cases = [_case(path, key, entry) for key, entry in entries.items()]
        return PieFolder(path, cases, hashlib.sha256(payload).hexdigest())

    def chosen(self, n: int | None, categories: Collection[str] | None, seed: int) -> list[PieCase]:
        """Some of the cases, in the order of the mapping file.

        Args:
            n: most of each category, drawn at random; None for all.
            categories: the categories; None for all.
            seed: decides which are drawn.

        Raises:
            ValueError: there is none of a category, or the picture of one that was chosen is missing.
        """
        groups: dict[str, list[int]] = defaultdict(list)
        for number, case in enumerate(self.cases):
            groups[case.category].append(number)
        for category in categories or ():
            if category not in groups:
                raise ValueError(f"categories={category}: {MAPPING} has no such edits, but those of {_listed(groups)}")
        kept = {name: members for name, members in groups.items() if categories is None or name in categories}
        found = [self.cases[number] for number in sorted(_drawn(kept, n, seed))]
        for case in found:
            if not case.picture.is_file():
                raise ValueError(
                    f"path={self.path}: {case.key}: there is no picture {case.picture.relative_to(self.path)}"
                )
        return found


def decode_mask(runs: Sequence[int], rows: int, columns: int) -> Bool[Tensor, "rows columns"]:
    """A mask from start and length of its runs, pixels counted row by row; True where a picture may change.

    A run that is too long ends with the picture, and the outermost pixels always may change: so the benchmark's own
    evaluation reads masks.

    Raises:
        ValueError: these are no such runs.
    """
    if len(runs) % 2 or not all(type(number) is int and number >= 0 for number in runs):
        raise ValueError("its mask is not pairs of start and length, counted from 0; fetch PIE-Bench again")
    mask = np.zeros(rows * columns, dtype=bool)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        if start >= len(mask):
            raise ValueError(f"its mask begins a run at pixel {start}, and the picture of {rows} x {columns} has fewer")
        mask[start : start + length] = True
    inside = mask.reshape(rows, columns)
    inside[[0, -1]], inside[:, [0, -1]] = True, True
    return torch.from_numpy(inside)


def _payload(path: Path) -> bytes:
    try:
        return read_regular(path / MAPPING, MOST_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(
            f"path={path}: {MAPPING}: {reason}; give a folder with PIE-Bench's {MAPPING} and {PICTURES}/"
        ) from error


def _case(folder: Path, key: str, entry: Any) -> PieCase:
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(name), str) for name in _FIELDS):
        raise ValueError(f"path={folder}: {MAPPING}: {key}: has to give {', '.join(_FIELDS)} as text")
    if not isinstance(entry.get("mask"), list):
        raise ValueError(f"path={folder}: {MAPPING}: {key}: has to give its mask as a list of starts and lengths")
    source, target = (_prompt(entry[name]) for name in ("original_prompt", "editing_prompt"))
    words = tuple(entry["blended_word"].split())
    picture = folder / PICTURES / _below(folder, key, entry["image_path"])
    return PieCase(key, entry["editing_type_id"], picture, source, target, words, entry["mask"])


def _below(folder: Path, key: str, name: str) -> PurePosixPath:
    """The name of a picture, which may not lead out of the folder of pictures."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"path={folder}: {MAPPING}: {key}: image_path={name} leads out of {PICTURES}/")
    return path


def _prompt(text: str) -> str:
    """A prompt without the brackets around what differs."""
    return text.replace("[", "").replace("]", "")


def _drawn(groups: Mapping[str, Sequence[int]], n: int | None, seed: int) -> list[int]:
    """At most `n` members of each group; those of a group do not depend on which others there are."""
    found: list[int] = []
    for name, members in groups.items():
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
        order = np.random.default_rng([seed, digest]).permutation(len(members))
        found += [members[place] for place in order[:n]]
    return found


def _listed(groups: Collection[str]) -> str:
    return ", ".join(sorted(groups))
