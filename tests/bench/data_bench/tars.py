"""Tars to make other formats of."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path


def samples_of(path: Path) -> Iterator[tuple[bytes, str]]:
    """The JPEG file and the caption of each sample of a shard."""
    parts: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            parts[member.name.rpartition(".")[2]] = file.read()
            if len(parts) == 3:
                yield parts["jpg"], parts["txt"].decode()
                parts = {}


def linked(shards: Path, folder: Path) -> None:
    """Give the tars second names in a folder, for who writes beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in shards.glob("*.tar"):
        (folder / path.name).unlink(missing_ok=True)
        (folder / path.name).hardlink_to(path)
