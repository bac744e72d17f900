"""Two folders of PNG files, of different pictures of one kind: smooth colours, some with more noise than others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE, GRID, NOISE = 64, 6, 20.0


def write_pictures(folder: Path, count: int) -> tuple[Path, Path]:
    """Write `count` pictures of 64 px into each of two folders, unless they are there; return these."""
    return _written(folder / f"one-{count}", range(count)), _written(folder / f"other-{count}", range(count, 2 * count))


def _written(folder: Path, numbers: range) -> Path:
    done = folder.with_suffix(".done")
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            picture(number).save(folder / f"{number:06d}.png")
        done.touch()
    return folder


def picture(number: int) -> Image.Image:
    """A picture that its number decides."""
    rng = np.random.default_rng(number)
    colours = Image.fromarray(rng.integers(0, 256, (GRID, GRID, 3), dtype=np.uint8))
    pixels = np.asarray(colours.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(float)
    return Image.fromarray((pixels + rng.normal(0, NOISE * rng.random(), pixels.shape)).clip(0, 255).astype(np.uint8))
