"""Labelled pictures as img2dataset stores them, made in a moment."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from PIL import Image

SHARD = 4096


def write_labelled(folder: Path, side: int, count: int, classes: int) -> None:
    """Shards of `KEY.jpg` and `KEY.cls`. All pictures are one; what is measured does not look at them."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (120, 80, 200)).save(buffer, "JPEG")
    train = folder / "train"
    train.mkdir(parents=True)
    for start in range(0, count, SHARD):
        with tarfile.open(train / f"{start // SHARD:05d}.tar", "w") as tar:
            for index in range(start, min(count, start + SHARD)):
                _add(tar, f"{index:09d}.jpg", buffer.getvalue())
                _add(tar, f"{index:09d}.cls", str(index % classes).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
