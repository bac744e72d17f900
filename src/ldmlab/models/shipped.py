"""The models that come with ldmlab, by the names of the experiments that trained them: `shapes/dit`."""

from __future__ import annotations

from pathlib import Path

from ldmlab.paths import experiments_dir

SHIPPED_MODEL = "shapes/dit"
"""The one that is taken where none is named."""


def shipped() -> dict[str, Path]:
    """The files of the models that come with ldmlab, by name."""
    return {f"{path.parents[1].name}/{path.stem}": path for path in experiments_dir().glob("*/weights/*.safetensors")}


def is_shipped(ckpt: str | None) -> bool:
    """Whether this is the name of a model that comes with ldmlab, as no name at all is."""
    return ckpt is None or ckpt in shipped()


def checkpoint_file(ckpt: str | None) -> Path:
    """The file that a name stands for: a file of the user's, or a shipped model."""
    name = SHIPPED_MODEL if ckpt is None else ckpt
    return Path(name) if Path(name).is_file() else shipped().get(name, Path(name))
