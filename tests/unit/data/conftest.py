"""Tiny shards in img2dataset's layout, written with `tarfile` alone."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

Members = list[tuple[str, bytes]]


def _png(number: int, size: int = 8) -> bytes:
    """An image whose colour tells its number."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def _members(number: int, prefix: str = "") -> Members:
    key = f"{prefix}{number:09d}"
    meta = json.dumps({"key": key, "number": number}).encode()
    return [(f"{key}.png", _png(number)), (f"{key}.json", meta), (f"{key}.txt", f"caption {number}".encode())]


def _write_tar(path: Path, members: Iterable[tuple[str, bytes]], tar_format: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as archive:
        for name, payload in members:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))
    return path


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    return _png


@pytest.fixture(scope="session")
def members() -> Callable[..., Members]:
    """number -> the three members of a sample."""
    return _members


@pytest.fixture(scope="session")
def write_tar() -> Callable[..., Path]:
    """(path, members, tar_format) -> path."""
    return _write_tar


@pytest.fixture(scope="session")
def write_shards() -> Callable[[Path, list[int]], Path]:
    """(folder, samples of each shard) -> folder; numbers go on from shard to shard."""

    def write(folder: Path, counts: list[int], first: int = 0) -> Path:
        for shard, count in enumerate(counts):
            numbers = range(first, first + count)
            _write_tar(folder / f"{shard:05d}.tar", [m for number in numbers for m in _members(number)])
            (folder / f"{shard:05d}_stats.json").write_text("{}")
            first += count
        return folder

    return write
