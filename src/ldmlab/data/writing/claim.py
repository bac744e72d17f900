"""The folder of a dataset says in `dataset.json` what it holds, so that no other dataset is written into it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ldmlab.atomic import write_json
from ldmlab.files import open_regular, read_text

DATASET = "dataset.json"
EDGE = 2**20
"""Bytes at both ends of a file that its digest is of."""


def claim(root: Path, splits: Iterable[str], facts: Mapping[str, Any]) -> None:
    """Make the folders and mark them as ours.

    Args:
        root: folder of the dataset.
        splits: names of the folders in it.
        facts: what the dataset is; its "fingerprint" says which.

    Raises:
        ValueError: it holds something else.
    """
    path = root / DATASET
    is_theirs = _read_fingerprint(path) == facts["fingerprint"]
    if not is_theirs and any(tar for split in ("train", "heldout") for tar in (root / split).glob("*.tar")):
        advice = "choose another folder, or delete this one to write it anew"
        if os.path.lexists(path):
            raise ValueError(f"{root} holds a dataset of another configuration (see {path}); {advice}")
        raise ValueError(f"{root} holds shards but no {DATASET}, so they are not ours to replace; {advice}")
    for split in splits:
        (root / split).mkdir(parents=True, exist_ok=True)
    if not is_theirs:
        write_json(path, {**facts, "complete": False})


def digest_of(facts: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's size, its first and its last megabyte, which tells large files apart without reading them."""
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for offset in sorted({0, max(0, size - EDGE)}):
            file.seek(offset)
            digest.update(file.read(EDGE))
    return digest.hexdigest()


def _read_fingerprint(path: Path) -> str | None:
    try:
        return str(json.loads(read_text(path))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
