"""Which files of a folder hold which split: as `datasets` saves it, or as its files are named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ldmlab.files import read_text

TRAIN = ("train", "training")
HELDOUT = ("validation", "valid", "val", "dev", "test", "testing", "eval")
"""Names of splits, the first that is there counts."""
KINDS = (".parquet", ".arrow")
SAVED, SPLITS = "state.json", "dataset_dict.json"
"""What `Dataset.save_to_disk` and `DatasetDict.save_to_disk` leave beside the data."""
_WORD = re.compile(rf"(?<![a-z0-9])({'|'.join(TRAIN + HELDOUT)})(?![a-z0-9])")


def find_splits(path: Path) -> dict[str, list[Path]]:
    """The files of each split by its name; those whose name says nothing are of "train".

    Args:
        path: a file of Arrow or Parquet, a folder that was saved by `datasets`, or one of such files.

    Raises:
        ValueError: there are none.
    """
    if path.is_file():
        if path.suffix not in KINDS:
            raise ValueError(f"dataset.path={path}: is neither .arrow nor .parquet; give a file or folder of these")
        return {TRAIN[0]: [path]}
    if not path.is_dir():
        raise ValueError(f"dataset.path={path}: no such file or folder; give a dataset in Arrow or Parquet")
    if (path / SPLITS).is_file():
        names = [_plain(path / SPLITS, name) for name in _read(path / SPLITS, "splits")]
        return {name: _saved(path / name) for name in names}
    if (path / SAVED).is_file():
        return {TRAIN[0]: _saved(path)}
    return _by_name(path)


def _by_name(path: Path) -> dict[str, list[Path]]:
    """Files below a folder, by the word in their paths that names a split."""
    found = sorted(file for kind in KINDS for file in path.rglob(f"*{kind}") if not _hidden(file.relative_to(path)))
    if not found:
        raise ValueError(f"dataset.path={path}: holds no .arrow and no .parquet file; give a dataset of these")
    kinds = {file.suffix for file in found}
    if len(kinds) > 1:
        raise ValueError(f"dataset.path={path}: holds .arrow and .parquet files; give a folder of one of them")
    splits: dict[str, list[Path]] = {}
    for file in found:
        words = _WORD.findall(file.relative_to(path).as_posix().lower())
        splits.setdefault(words[-1] if words else TRAIN[0], []).append(file)
    return splits


def _hidden(path: Path) -> bool:
    """Whether it is passed over, such as what `datasets` caches beside a dataset (cache-*.arrow)."""
    return any(part.startswith(".") for part in path.parts) or path.name.startswith("cache-")


def _saved(folder: Path) -> list[Path]:
    """The files of a split that was saved, in its order."""
    try:
        names = [each["filename"] for each in _read(folder / SAVED, "_data_files")]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / SAVED}: names no files; save the dataset anew") from error
    files = [folder / _plain(folder / SAVED, name) for name in names]
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file}: is missing, though {SAVED} names it; save the dataset anew")
    if not files:
        raise ValueError(f"{folder / SAVED}: names no files; save the dataset anew")
    return files


def _read(path: Path, key: str) -> list[Any]:
    try:
        content = json.loads(read_text(path))[key]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); save the dataset anew") from error
    return content if isinstance(content, list) else []


def _plain(path: Path, name: Any) -> str:
    """A name of something in the folder, and not elsewhere."""
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"{path}: names {name!r}, which is not in its folder; save the dataset anew")
    return name
