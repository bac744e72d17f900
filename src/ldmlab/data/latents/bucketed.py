"""Cached latents of pictures of several sizes: a cache of each aspect-ratio bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch.utils.data import Dataset

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.cached_dataset import CachedLatents, LatentBatch
from ldmlab.data.order.bucket_sizes import Size
from ldmlab.data.order.views import View


class BucketedLatents(Dataset[LatentBatch]):
    """The cached latents of a split, by views of one size at a time, whose rows are those of the whole split.

    Args:
        index: the samples of the split.
        caches: of each bucket, whose samples are some of these.
    """

    def __init__(self, index: ShardIndex, caches: Mapping[Size | None, CachedLatents]) -> None:
        self.index = index
        self.caches = dict(caches)

    def __len__(self) -> int:
        return sum(map(len, self.caches.values()))

    def __getitem__(self, view: View) -> LatentBatch:
        """Return a batch of one."""
        return self.__getitems__([view])

    def __getitems__(self, views: Sequence[View]) -> LatentBatch:
        """Return a batch of views of one size; this is what a DataLoader's fetcher calls."""
        cache = self.caches[views[0].size]
        places = cache.index.places(self.index.scanned(np.array([view.row for view in views])))
        batch = cache.__getitems__([view._replace(row=row) for view, row in zip(views, places.tolist(), strict=True)])
        batch["rows"] = self.index.places(cache.index.scanned(np.array(batch["rows"]))).tolist()
        return batch

    @property
    def images(self) -> bool:
        """Whether batches have the images, too."""
        return any(cache.images is not None for cache in self.caches.values())
