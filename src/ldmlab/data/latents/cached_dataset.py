"""Batches of cached latents, by row or by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ldmlab.data.index.json_keys import columns_of
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.latent_cache import LatentCache
from ldmlab.data.latents.text_cache import TextCache
from ldmlab.data.order.views import View, as_view
from ldmlab.data.shard_dataset import ConditionColumns, ShardDataset, add_conditions


class LatentBatch(ConditionColumns):
    """Moments (B, 2C, H, W), float32: mean, then standard deviation, of unit-variance latents.

    The rest is as in `ImageBatch`. A frozen text encoder's features, float16, are there by their names.
    """

    moments: Tensor
    images: NotRequired[Tensor]
    keys: list[str]
    rows: list[int]


class CachedLatents(Dataset[LatentBatch]):
    """The cached latents of a split; a list of views gives a whole batch at once (no collation needed).

    Args:
        index: the samples.
        latents: of their images.
        text: of their captions; left out if not given.
        images: gives the images beside their moments; left out if not given.
    """

    def __init__(
        self,
        index: ShardIndex,
        latents: LatentCache,
        text: TextCache | None = None,
        images: ShardDataset | None = None,
    ) -> None:
        self.index = index
        self.latents = latents
        self.text = text
        self.images = images
        self.files = index.files()

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, sample: int | View) -> LatentBatch:
        """Return a batch of one."""
        return self.__getitems__([sample])

    def __getitems__(self, samples: Sequence[int | View]) -> LatentBatch:
        """Return a batch; this is what a DataLoader's fetcher calls. ValueError where the cache was changed."""
        views = [as_view(sample) for sample in samples]
        rows, moments = self.latents.take(views)
        batch = LatentBatch(moments=moments.float(), keys=[self.index.keys[row] for row in rows], rows=rows)
        if self.images is not None:
            seen = [self.latents.seen(view)._replace(row=row) for view, row in zip(views, rows, strict=True)]
            batch["images"] = torch.stack([each["image"] for each in self.images.__getitems__(seen)])
        self._add_conditions(batch, rows)
        return batch

    def _add_conditions(self, batch: LatentBatch, rows: list[int]) -> None:
        captions, labels = [self.index.captions[row] for row in rows], [self.index.label(row) for row in rows]
        columns = [columns_of(self.index, row, self.files) for row in rows]
        add_conditions(batch, captions, labels, columns)
        if self.text is not None:
            batch.update(self.text.take(rows))  # type: ignore[typeddict-item]  # named by the encoder


def as_is(batch: LatentBatch) -> LatentBatch:
    """Collate a batch that `CachedLatents` gave as a whole: return it as it is."""
    return batch
