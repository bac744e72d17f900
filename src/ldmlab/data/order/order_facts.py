"""What the order of a run's batches depends on, which a checkpoint remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmlab.data.filters.filter import Filter
from ldmlab.data.index.shard_index import ShardIndex

Facts = dict[str, int | float | str]
OF_THE_DATA = ("filter", "samples", "data", "labels")
"""Those that the samples decide."""
ALL = "none"
"""The filter that takes all samples."""
FORMERLY: Facts = {
    "flip": 0.0,
    "crop": "center",
    "crops": 0,
    "buckets": "none",
    "scaled_decoding": False,
    "filter": ALL,
}
"""What older checkpoints do not hold, since there was no other way."""


def order_facts(
    index: ShardIndex,
    batch_size: int,
    seed: int,
    flip: float,
    labels: bool,
    crop: str = "center",
    filter: Filter | None = None,
) -> Facts:
    """Return what decides which samples batch k holds, and how they look.

    Args:
        index: of the training samples.
        batch_size: samples in a batch of all ranks together.
        seed: of the order.
        flip: probability that a sample is mirrored.
        labels: whether labels are read.
        crop: where pictures are cropped.
        filter: that has chosen the samples; None for all.
    """
    facts: Facts = {"batch_size": batch_size, "filter": str(filter or ALL), "samples": len(index), "seed": seed}
    facts |= {"data": index.fingerprint, "flip": flip, "crop": crop}
    return facts | ({"labels": index.labels_sha256} if labels else {})


def require_same_order(facts: Facts, saved: Mapping[str, Any], allow_other_data: bool) -> bool:
    """Refuse to go on where a run would order its batches otherwise than the one that was saved.

    Where other samples are allowed, batch k is the one that a run on the samples of now would have had from its begin.

    Args:
        facts: of the run that is to go on.
        saved: of the checkpoint.
        allow_other_data: go on although the samples are others.

    Returns:
        Whether they are others.

    Raises:
        ValueError: what has changed.
    """
    known = facts.keys() - ({"labels", "decoder"} - saved.keys())  # which older checkpoints do not hold
    saved = {**FORMERLY, **saved}
    changed = [name for name, value in facts.items() if name in known and saved.get(name) != value]
    others = bool(changed) and {*changed} <= {*OF_THE_DATA}
    if changed and not (others and allow_other_data):
        name = changed[0]
        fix = ", or go on with the data of now by allow_other_data=true" if others else ""
        raise ValueError(
            f"the checkpoint was trained with {name}={saved.get(name)}, this run has {name}={facts[name]}:"
            f" resume with the same, or start a new run{fix}"
        )
    return others
