"""Photographs to measure on: 512 px JPEG, cut out of those that scikit-image ships, and captions."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIDE = 512
NAMES = ("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "retina", "immunohistochemistry")
QUALITY = 90
"""They have 55 kB on average, as such files of LAION do."""


def jpegs(number: int, side: int = SIDE) -> Iterator[bytes]:
    """So many files, all different: parts of the photographs, chosen by a fixed seed, some of them mirrored."""
    from skimage import data as photographs

    rng = np.random.default_rng(0)
    sources = [Image.fromarray(np.asarray(getattr(photographs, name)())[..., :3]) for name in NAMES]
    for which in islice(count(), number):
        photo = sources[which % len(sources)]
        part = round(min(photo.size) * rng.uniform(0.7, 1))
        left, top = (int(rng.integers(0, length - part + 1)) for length in photo.size)
        picture = photo.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + part, top + part))
        buffer = io.BytesIO()
        (ImageOps.mirror(picture) if rng.random() < 0.5 else picture).save(buffer, "JPEG", quality=QUALITY)
        yield buffer.getvalue()


def caption(number: int) -> str:
    """Words of a picture."""
    return f"photograph {number}, a part of what scikit-image ships"


def write_shards(folder: Path, number: int, in_each: int = 250, side: int = SIDE) -> Path:
    """Write them as img2dataset does; nothing where that was done before. Returns the folder."""
    done = folder / "done"
    if done.exists() and done.read_text() == f"{number} {side}":
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    files = jpegs(number, side)
    for shard, first in enumerate(range(0, number, in_each)):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for row, payload in enumerate(islice(files, in_each), first):
                key = f"{shard:05d}{row - first:04d}"
                meta = json.dumps({"key": key, "caption": caption(row), "width": side, "height": side}).encode()
                for part, content in (("jpg", payload), ("txt", caption(row).encode()), ("json", meta)):
                    info = tarfile.TarInfo(f"{key}.{part}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    done.write_text(f"{number} {side}")
    return folder
