"""What a checkpoint remembers of its data, put to use where a user names none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from ldmlab.cli.build import Loaded, is_shipped
from ldmlab.data.folders import heldout_folder, require_heldout, train_folder
from ldmlab.data.index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.shapes import ShapesSource
from ldmlab.files import read_regular

Tell = Callable[[str], None]

SHAPES = "data/shapes"
"""Where `ldmlab data` writes what the models that come with ldmlab were trained on."""
MOST_BYTES = 2**20


def heldout_reference(cfg: DictConfig, loaded: Loaded, needs: Needs, tell: Tell) -> Path:
    """The folder of held-out tars to measure a model on: what the user names, else what the model was trained on.

    Raises:
        ValueError: it is not known what that was, or it is not there.
    """
    if cfg.path is not None or cfg.heldout_path is not None:
        return require_heldout(heldout_folder(cfg.path or "", cfg.heldout_path))
    if is_shipped(cfg.ckpt):
        return heldout_folder(SHAPES)
    data = loaded.checkpoint.data
    if data is None:
        raise ValueError(f"path: {loaded.path} does not say what it was trained on; give path=FOLDER to measure it on")
    path = data["path"]
    if not Path(path).is_dir():
        raise ValueError(
            f"path: {loaded.path} was trained on {path}, which is not there; give path=FOLDER to measure it on"
        )
    tell(f"path={path}: what {loaded.path} was trained on")
    if data["fingerprint"] not in (None, _fingerprint(train_folder(path), needs)):
        tell(f"path={path}: has other samples than when {loaded.path} was trained")
    return require_heldout(heldout_folder(path, data["heldout_path"]))


def tell_of_seen(loaded: Loaded, index: ShardIndex, tell: Tell) -> None:
    """Say so where a model is measured on its own training samples."""
    data = loaded.checkpoint.data
    if data is not None and data["fingerprint"] == index.fingerprint:
        tell(f"{index.root}: these are the samples that {loaded.path} was trained on, not held-out ones")


def require_shapes(ckpt: str | None, loaded: Loaded) -> None:
    """Refuse prompts of drawn shapes, taken because the user gave none, for a model that may never have seen any.

    Raises:
        ValueError: it was trained on other data, or nobody knows on which.
    """
    data = loaded.checkpoint.data
    if is_shipped(ckpt) or (data is not None and _dataset_name(Path(data["path"])) == ShapesSource.name):
        return
    known = "does not say what it was trained on" if data is None else f"was trained on {data['path']}"
    raise ValueError(
        f"prompts: those that are drawn where none are given are of drawn shapes, and {loaded.path} {known}; give some"
    )


def _fingerprint(folder: Path, needs: Needs) -> str | None:
    try:
        return ShardIndex.build(folder, needs=needs).fingerprint
    except ValueError:
        return None


def _dataset_name(folder: Path) -> str | None:
    """That of the source that wrote a folder; None for folders of other origin."""
    try:
        facts = json.loads(read_regular(folder / "dataset.json", MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return facts.get("name") if isinstance(facts, dict) else None
