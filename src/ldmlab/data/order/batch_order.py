"""The order of samples as a pure function of (seed, global batch number): stateless, resumable from one integer.

Batch k of the whole run is the same list for any number of workers and ranks; each rank takes its slice of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
from torch.utils.data import Sampler

from ldmlab.data.order.buckets import BucketOrder, Buckets
from ldmlab.data.order.crops import crops
from ldmlab.data.order.epoch_order import EpochOrder
from ldmlab.data.order.flips import flips
from ldmlab.data.order.views import View


class GlobalBatches(Sampler[list[View]]):
    """Batch sampler over an endless run of epochs; one iteration gives the next `len(self)` batches from `start`.

    An epoch is size // batch_size full batches; the samples left over differ from epoch to epoch. With buckets each
    batch is of one of them, and an epoch has the full batches of all of them.

    Args:
        size: samples in the dataset.
        batch_size: samples in a batch of all ranks together.
        seed: chooses the order, 0 or more.
        rank: this process, of `world` processes.
        start: number of the next global batch, counted from the begin of the run: the whole state.
        flip: probability that a sample is mirrored.
        random_crops: each picture is cropped somewhere, rather than in its centre.
        buckets: of the samples; None for pictures of one size.
        only: the run repeats its first so many batches; None for all of each epoch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        flip: float = 0.0,
        random_crops: bool = False,
        buckets: Buckets | None = None,
        only: int | None = None,
    ) -> None:
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size={batch_size} must be a positive multiple of the {world} processes: change it")
        if size < batch_size:
            raise ValueError(f"batch_size={batch_size} is more than the {size} samples: lower it, or add samples")
        if seed < 0:
            raise ValueError(f"seed={seed} is negative: give 0 or more")
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.start = start
        self.flip = flip
        self.random_crops = random_crops
        self.buckets = buckets
        self.only = only
        self._length = size // batch_size if buckets is None else int(buckets.batches(batch_size).sum())
        if not self._length:
            raise ValueError(
                f"batch_size={batch_size} is more than any bucket of the {size} samples holds: lower it, or take fewer "
                "data.buckets"
            )
        self._order = self._order_of(0)

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return self._length

    def __iter__(self) -> Iterator[list[View]]:
        return (self.batch(number) for number in range(self.start, self.start + len(self)))

    def batch(self, number: int) -> list[View]:
        """Return this rank's samples of global batch `number`, as they are to be seen."""
        epoch, place = divmod(number if self.only is None else number % self.only, len(self))
        if epoch != self._order.epoch:
            self._order = self._order_of(epoch)
        share = self.batch_size // self.world
        first = place * self.batch_size + self.rank * share
        rows = self._order[first : first + share]
        mirrored = flips(self.seed, epoch, first, share, self.flip)
        where = crops(self.seed, epoch, first, share) if self.random_crops else np.full((share, 2), 0.5)
        size = self._order.size_at(first) if isinstance(self._order, BucketOrder) else None
        return [*map(View, rows.tolist(), mirrored.tolist(), *where.T.tolist(), repeat(size))]

    def _order_of(self, epoch: int) -> EpochOrder | BucketOrder:
        if self.buckets is None:
            return EpochOrder(self.size, self.seed, epoch)
        return BucketOrder(self.buckets, self.batch_size, self.seed, epoch)
