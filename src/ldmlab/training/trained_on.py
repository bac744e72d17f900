"""What a checkpoint remembers of its data, put to use where a user names none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import filtered
from ldmlab.data.folders import heldout_folder, require_heldout, train_folder
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.files import read_regular
from ldmlab.models.loading import Loaded
from ldmlab.models.shipped import is_shipped
from ldmlab.progress import track
from ldmlab.worlds.shapes.dataset import ShapesSource

if TYPE_CHECKING:
    from ldmlab.data.training_data import TrainingData  # imports Lightning

Tell = Callable[[str], None]

SHAPES = "data/shapes"
"""Where `ldmlab data` writes what the models that come with ldmlab were trained on."""
MOST_BYTES = 2**20


def remembered(settings: Mapping[str, Any], data: TrainingData) -> dict[str, Any]:
    """What a run's checkpoints remember of its data, see `Checkpoint`: the settings as they were given, and facts.

    Args:
        settings: "image_size", and "path" and "heldout_path" where there are any, as the user gave them.
        data: what was made of them.
    """
    path = settings.get("path") or data.location
    given = {"path": path, "heldout_path": settings.get("heldout_path"), "image_size": settings["image_size"]}
    scaled = {"scaled_decoding": True} if data.decoder.scaled else {}
    chosen = data.filter.plain() if data.filter else {}
    return {**given, "dataset": _dataset_name(Path(path)), "fingerprint": data.fingerprint, **scaled, **chosen}


def remembered_filter(loaded: Loaded[Any]) -> Filter | None:
    """Which samples of its data a model was trained on; None for all.

    Raises:
        ValueError: the file says something else.
    """
    data = loaded.checkpoint.data
    if data is None or data.get("filter") is None:
        return None
    return Filter(data["filter"], data.get("missing") or "drop")


def heldout_reference(
    ckpt: str | None,
    loaded: Loaded[Any],
    needs: Needs,
    tell: Tell,
    path: str | None = None,
    heldout_path: str | None = None,
) -> Path:
    """The folder of held-out tars to measure a model on: what the user names, else what the model was trained on.

    A checkpoint may be a stranger's, who names a folder of the user's. So it is taken only where it holds the very
    samples, and until then nothing is written there.

    Args:
        ckpt: what the user called the model; None for the one that is taken where none is named.
        loaded: the model.
        needs: what it reads of a sample.
        tell: called with a line where a folder was taken that the user did not name.
        path: a dataset with a heldout/ of its own, if the user named one.
        heldout_path: the folder of held-out tars, if the user named one.

    Raises:
        ValueError: it is not known what that was, or it is not there.
    """
    if path is not None or heldout_path is not None:
        return require_heldout(heldout_folder(path or "", heldout_path))
    if is_shipped(ckpt) and loaded.adapter is None:
        return heldout_folder(SHAPES)
    data, give = loaded.checkpoint.data, "give data.path=FOLDER to measure it on"
    if data is None:
        raise ValueError(f"data.path: {loaded.path} does not say what it was trained on; {give}")
    known_path, heldout = data["path"], data["heldout_path"]
    known = f"data.path: {loaded.path} was trained on {known_path}"
    if not Path(known_path).is_dir():
        raise ValueError(f"{known}, which is not there; {give}")
    if heldout is not None:
        raise ValueError(
            f"{known}, beside held-out samples in {heldout}; give data.heldout_path= to measure it on those"
        )
    now = _fingerprint(train_folder(known_path), needs, remembered_filter(loaded))
    if data["fingerprint"] is None or data["fingerprint"] != now:
        raise ValueError(f"{known}, which does not hold the samples of then; {give}")
    tell(f"data.path={known_path}: what {loaded.path} was trained on")
    return require_heldout(heldout_folder(known_path))


def tell_of_seen(loaded: Loaded[Any], folder: Path, fingerprint: str, tell: Tell) -> None:
    """Say so where a model is measured on its own training samples, in a folder of tars."""
    data = loaded.checkpoint.data
    if data is not None and data["fingerprint"] == fingerprint:
        tell(f"{folder}: these are the samples that {loaded.path} was trained on, not held-out ones")


def require_shapes(ckpt: str | None, loaded: Loaded[Any]) -> None:
    """Refuse prompts of drawn shapes, taken because the user gave none, for a model that may never have seen any.

    Raises:
        ValueError: it was trained on other data, or nobody knows on which.
    """
    data = loaded.checkpoint.data
    is_theirs = is_shipped(ckpt) and loaded.adapter is None
    if is_theirs or (data is not None and data["dataset"] == ShapesSource.name):
        return
    known = "does not say what it was trained on" if data is None else f"was trained on {data['path']}"
    raise ValueError(
        f"prompts: those that are drawn where none are given are of drawn shapes, and {loaded.path} {known}; give some"
    )


def _fingerprint(folder: Path, needs: Needs, filter: Filter | None) -> str | None:
    try:
        reading = partial(track, what="reading shards")
        index = ShardIndex.build(folder, store=False, needs=needs, progress=reading)
        return (index if filter is None else filtered(index, filter, store=False)[0]).fingerprint
    except ValueError:
        return None


def _dataset_name(folder: Path) -> str | None:
    """That of the source that wrote a folder; None for folders of other origin."""
    try:
        facts = json.loads(read_regular(folder / "dataset.json", MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    name = facts.get("name") if isinstance(facts, dict) else None
    return name if isinstance(name, str) else None
