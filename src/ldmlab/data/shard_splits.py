"""A folder of shards as a run's training and held-out samples: indexed, filtered, sorted into buckets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmlab.data.decoding.decoders import Decoder
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import taken
from ldmlab.data.folders import heldout_folder, require_heldout, train_folder
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.order.bucket_selection import buckets_of, summary
from ldmlab.data.order.bucket_sizes import Size, bucket_sizes
from ldmlab.data.order.buckets import Buckets
from ldmlab.data.problems import PROBLEMS, summarise, write_problems
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.data.shards.shard_folder import find_shards
from ldmlab.data.training_data import TrainingData
from ldmlab.ranks import ALONE, Ranks

log = logging.getLogger(__name__)


class ShardSplits(TrainingData):
    """Training and held-out samples in a folder of shards, each read when it is first asked for.

    Args:
        path: a folder with `train/` and `heldout/`, or a folder of img2dataset tars.
        batch_size: samples in a batch of all ranks together.
        image_size: side of the images in pixels.
        num_workers: processes a rank that decode images; 0 decodes in the training process.
        seed: chooses the order of the training samples.
        heldout_path: folder of held-out tars; None for `path/heldout` where it exists.
        decoder: of the images.
        filter: which samples of `path` are taken; None for all.
        buckets: see `bucket_sizes`; None where all images are square.
        on_bad_shard: "skip" leaves out a shard that cannot be read whole, "stop" ends there.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int,
        image_size: int,
        num_workers: int,
        seed: int,
        heldout_path: str | Path | None,
        decoder: Decoder,
        filter: Filter | None,
        buckets: Any,
        on_bad_shard: str,
    ) -> None:
        super().__init__(batch_size, image_size, num_workers, seed, decoder, filter)
        self.path = Path(path)
        self.heldout_path = heldout_folder(path, heldout_path)
        self._buckets = buckets
        self.sizes  # noqa: B018 - what are none is refused now
        self.on_bad_shard = on_bad_shard

    @cached_property
    def train_set(self) -> ShardDataset:
        """The training images. ValueError where there are none."""
        return self._read(train_folder(self.path), self.filter)

    @cached_property
    def heldout_set(self) -> ShardDataset:
        """The held-out images. ValueError where there are none."""
        is_own = self.heldout_path == heldout_folder(self.path)
        return self._read(require_heldout(self.heldout_path), self.filter if is_own else None)

    @property
    def sizes(self) -> tuple[Size, ...] | None:
        """What `data.buckets` stands for."""
        return None if self._buckets is None else bucket_sizes(self._buckets, self.image_size, self.multiple)

    @cached_property
    def buckets(self) -> Buckets | None:
        """The training samples by the size at which they are seen; None where they are all square."""
        if self.sizes is None:
            return None
        found = buckets_of(self.train_set.index, self.sizes, self.batch_size)
        log.info("data.buckets: %s", summary(found))
        return found

    @cached_property
    def heldout_buckets(self) -> Buckets | None:
        """The held-out samples by the sizes of training; None where they are all square."""
        return None if self.buckets is None else buckets_of(self.heldout_set.index, self.buckets.sizes)

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.path)

    @property
    def overrides(self) -> str:
        """The folder, the size of its images, and the filter."""
        data = f"data.path={self.path} data.image_size={self.image_size}"
        return data if self.filter is None else f"{data} {self.filter.overrides}"

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the index of the training samples."""
        return self.train_set.fingerprint

    @property
    def has_heldout(self) -> bool:
        """Whether there is a folder of them."""
        return self.heldout_path.is_dir()

    @property
    def captions(self) -> Sequence[str]:
        """Captions of all training samples."""
        return self.train_set.index.captions

    def summary(self) -> str:
        """How many samples there are; problems are told where they are found."""
        return "" if self.train_set.index.problems else self.train_set.index.summary()

    def write_problems(self, folder: Path, ranks: Ranks = ALONE) -> None:
        """Name every problem of the index in a table in a folder, where there are any."""
        if (problems := self.train_set.index.problems) and ranks.is_first:
            write_problems(folder / PROBLEMS, problems)
            log.info("every problem of the data is named in %s", folder / PROBLEMS)

    def replaced(self) -> str:
        """Images that could not be decoded, in whose place others were shown."""
        corrupt = self.train_set.corrupt
        return f"replaced in training: {summarise(corrupt)}" if corrupt else ""

    def require_source(self) -> None:
        """Raise ValueError where there is nothing that is named as training shards are; none is read yet."""
        find_shards(train_folder(self.path))

    @property
    def epoch_batches(self) -> int:
        """Batches of an epoch of training."""
        if self.buckets is not None:
            return int(self.buckets.batches(self.batch_size).sum())
        return len(self.train_set) // self.batch_size

    def _read(self, folder: Path, filter: Filter | None) -> ShardDataset:
        index = ShardIndex.build(folder, needs=self.needs, progress=self.progress, on_bad_shard=self.on_bad_shard)
        index = index if filter is None else taken(index, filter)
        return ShardDataset(index, self.image_size, self.decoder)
