"""What a frozen text encoder gives for the captions of a split, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.filling import fill
from ldmlab.data.latents.latent_cache import Progress, is_finite
from ldmlab.data.latents.manifest import Facts, claim, origin_of
from ldmlab.data.latents.parts import CHECKSUM, Parts, record_of
from ldmlab.ranks import ALONE, Ranks

FORMAT = 1


class TextEncoder(NamedTuple):
    """A frozen text encoder, to whoever caches what it gives.

    Attributes:
        features: B captions -> tensors (B, ...) by name; called without gradients.
        shapes: of a caption's tensors, by name.
        fingerprint: hash of its weights and of whatever else decides what it gives.
    """

    features: Callable[[list[str]], Mapping[str, Tensor]]
    shapes: Mapping[str, tuple[int, ...]]
    fingerprint: str


class TextCache:
    """A text encoder's features of all samples of a split on the disk.

    Args:
        parts: records of the features, float16, by name.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return self.parts.count

    def take(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Return the features (B, ...) of B samples, float16, by name.

        Raises:
            ValueError: the cache is not what was written.
        """
        records = self.parts.take(np.array(rows, np.int64))
        names = [name for name in records.dtype.names or () if name != CHECKSUM]
        found = {name: np.ascontiguousarray(records[name]) for name in names}
        if not all(map(is_finite, found.values())):
            raise ValueError(f"{self.parts.folder}: holds what nobody encoded; remove it, so that it is made anew")
        return {name: torch.from_numpy(array) for name, array in found.items()}


def text_cache(
    index: ShardIndex,
    encoder: TextEncoder,
    folder: Path,
    rebuild: bool = False,
    batch_size: int = 64,
    progress: Progress = iter,
    ranks: Ranks = ALONE,
) -> TextCache:
    """Open the text features of a split in a folder, after computing those that are not there.

    Args:
        index: the samples, each with a caption.
        encoder: of the captions.
        folder: of this cache alone; made if need be.
        rebuild: make a stale cache anew.
        batch_size: captions a call of the encoder.
        progress: wraps the iteration over this process' batches, as a progress bar does.
        ranks: the place of this process among those that build the same cache together.

    Raises:
        ValueError: a cache of something else is there; features are not finite in float16.
        OSError: it cannot be written.
    """
    record = record_of({name: ("f2", shape) for name, shape in encoder.shapes.items()})
    facts = facts_of(index, encoder)
    claim(folder, facts, rebuild, ranks)
    parts = Parts(folder, record, len(index), origin_of(facts))

    def encoded(spans: Sequence[range]) -> Iterator[NDArray[Any]]:
        batches = [span[i : i + batch_size] for span in spans for i in range(0, len(span), batch_size)]
        return (_records([index.captions[row] for row in rows], encoder, record) for rows in progress(batches))

    fill(parts, encoded, ranks)
    return TextCache(parts)


def facts_of(index: ShardIndex, encoder: TextEncoder) -> Facts:
    """All that decides what a text cache holds."""
    samples: Facts = {"samples": len(index), "data": index.fingerprint}
    return {"text": FORMAT, "conditioner": encoder.fingerprint, **samples}


@torch.no_grad()
def _records(captions: list[str], encoder: TextEncoder, record: np.dtype[Any]) -> NDArray[Any]:
    records = np.zeros(len(captions), record)
    for name, tensor in encoder.features(captions).items():
        records[name] = tensor.to("cpu", torch.float16).numpy()
        if not is_finite(np.ascontiguousarray(records[name])):
            raise ValueError(f"the conditioner's {name} is not finite in float16: leave latents.text at false")
    return records
