"""The DataModule: shards in, resumable training batches and fixed held-out batches out, on any number of ranks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Dataset

from ldmlab.data.decoding.decoders import DecoderName, decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import taken
from ldmlab.data.folders import heldout_folder, require_heldout, train_folder
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.cached_dataset import CachedLatents, as_is
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.variants import Variants
from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.bucket_selection import buckets_of, summary
from ldmlab.data.order.bucket_sizes import bucket_sizes
from ldmlab.data.order.buckets import Buckets
from ldmlab.data.order.crops import require_crop
from ldmlab.data.order.flips import flip_probability, warn_of_sides
from ldmlab.data.order.loaders import ResumableLoader, fixed_loader
from ldmlab.data.order.order_facts import Facts, order_facts, require_same_order
from ldmlab.data.order.views import View
from ldmlab.data.problems import PROBLEMS, Problem, write_problems
from ldmlab.data.shard_dataset import ShardDataset, collate
from ldmlab.data.shards.shard_folder import find_shards
from ldmlab.data.training_data import TrainingData
from ldmlab.ranks import ALONE, Ranks

log = logging.getLogger(__name__)


class ShardDataModule(TrainingData):
    """Loads a folder of shards; the Trainer needs `use_distributed_sampler=False`.

    Training goes on from a checkpoint at exactly the next batch, in mid-epoch too: the state is the number of
    finished batches. Each rank gets its slice of the same global batch.

    Args:
        path: a folder with `train/` and `heldout/`, or a folder of img2dataset tars.
        batch_size: samples in a batch of all ranks together.
        image_size: side of the images in pixels.
        num_workers: processes a rank that decode images; 0 decodes in the training process.
        seed: chooses the order of the training samples.
        val_samples: the first so many held-out samples are for validation.
        heldout_path: folder of held-out tars; by default `path/heldout` where it exists.
        flip: probability that a training sample is mirrored, left for right; True is 0.5. The place of a sample in the
            run decides, so a resumed run flips as it would have.
        crop: "center", or "random": somewhere else in each epoch, as the place of a sample in the run decides.
        decoder: of the images, see `decoder_of`.
        scaled_decoding: decode JPEG at 1/2, 1/4 or 1/8 where the image is that much larger than needed: quicker, with
            other pixels.
        filter: which samples of `path` are taken, for training and validation; None for all. Those in `heldout_path`
            are taken as they are.
        buckets: sizes of pictures, of which each batch has one: "auto" or [[height, width], ...]; None for squares.
        on_bad_shard: "skip" leaves out a shard that is truncated, empty or unreadable, and names it; "stop" ends there.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int,
        image_size: int,
        num_workers: int = 1,
        seed: int = 0,
        val_samples: int = 256,
        heldout_path: str | Path | None = None,
        flip: bool | float = False,
        crop: Literal["center", "random"] = "center",
        decoder: DecoderName = "auto",
        scaled_decoding: bool = False,
        filter: Filter | None = None,
        buckets: Literal["auto"] | list[list[int]] | None = None,
        on_bad_shard: Literal["skip", "stop"] = "skip",
    ) -> None:
        super().__init__(batch_size, image_size, num_workers, seed, decoder_of(decoder, scaled_decoding), filter)
        if val_samples < 0:
            raise ValueError(f"val_samples={val_samples} is too small: give 0 or more")
        self.path = Path(path)
        self.val_samples = val_samples
        self.heldout_path = heldout_folder(path, heldout_path)
        self.flip = flip_probability(flip)
        self.crop = require_crop(crop)
        self.sizes = None if buckets is None else bucket_sizes(buckets, image_size)
        self.crops = 0
        self.on_bad_shard = on_bad_shard
        self._latents: dict[str, CachedLatents] = {}
        self._start = 0

    @cached_property
    def train_set(self) -> ShardDataset:
        """The training images. ValueError where there are none."""
        return self._read(train_folder(self.path), self.filter)

    @cached_property
    def heldout_set(self) -> ShardDataset:
        """The held-out images. ValueError where there are none."""
        is_own = self.heldout_path == heldout_folder(self.path)
        return self._read(require_heldout(self.heldout_path), self.filter if is_own else None)

    @cached_property
    def buckets(self) -> Buckets | None:
        """The training samples by the size at which they are seen; None where they are all square."""
        if self.sizes is None:
            return None
        found = buckets_of(self.train_set.index, self.sizes, self.batch_size)
        log.info("data.buckets: %s", summary(found))
        return found

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
        """That of the index of the training samples."""
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

    def replaced(self) -> list[Problem]:
        """Images that could not be decoded, in whose place others were shown."""
        return self.train_set.corrupt

    def require_source(self) -> None:
        """Raise ValueError where there is nothing that is named as training shards are; none is read yet."""
        find_shards(train_folder(self.path))

    def setup(self, stage: str) -> None:
        """Read the indexes that a stage needs, so that bad data fails before anything is trained."""
        self._start = 0
        if stage == TrainerFn.FITTING:
            self._batches()
            if self.flip and self.needs.captions:
                warn_of_sides(self.captions, self.flip)
        if stage != TrainerFn.FITTING or self.has_heldout:
            self.heldout_set  # noqa: B018

    def use_latents(self, caching: Caching) -> None:
        """Train and validate on cached latents from now on: batches have `moments` in place of `images`.

        Raises:
            ValueError: a cache of something else is there.
            OSError: a cache cannot be written.
        """
        if self.sizes is not None:
            raise ValueError("data.buckets: cached latents are of one size; train with cache_latents=false")
        self.keep_crops(caching.options.crops)
        splits = {"train": (self.train_set, Variants(len(self.train_set), self.flip > 0, self.crops or 1))}
        if self.has_heldout:
            splits["heldout"] = self.heldout_set, Variants(len(self.heldout_set))
        for split, (samples, variants) in splits.items():
            caching.claim(samples, split, variants)
        for split, (samples, variants) in splits.items():
            self._latents[split] = caching.of(samples, split, variants, self.num_workers)

    def keep_crops(self, count: int | None) -> None:
        """Say how many random crops of each training picture are to be cached; None for the one in the centre.

        Raises:
            ValueError: `crop` says otherwise.
        """
        if self.crop == "random" and count is None:
            raise ValueError(
                "data.crop=random: cached latents are of one crop each; keep several of each by latents.crops=8, or"
                " cache none by cache_latents=false"
            )
        if self.crop != "random" and count is not None:
            raise ValueError(
                f"latents.crops={count}: data.crop={self.crop} has one crop a picture; give data.crop=random as well"
            )
        self.crops = count or 0

    def train_dataloader(self) -> ResumableLoader:
        """Return the endless training stream, an epoch an iteration, from the batch that the run has come to."""
        finished = self._finished if self.trainer else None
        if latents := self._latents.get("train"):
            return ResumableLoader(latents, self._batches(), as_is, self.num_workers, self._pin_memory(), finished)
        return ResumableLoader(self.train_set, self._batches(), collate, self.num_workers, self._pin_memory(), finished)

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the first `val_samples` held-out samples in order; nothing where there are no held-out shards."""
        if not self.val_samples or not self.has_heldout:
            return []
        if latents := self._latents.get("heldout"):
            return self._validation_loader(latents, as_is, self.num_workers if latents.images is not None else 0)
        return self._validation_loader(self.heldout_set, collate, self.num_workers)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return all held-out images in order."""
        rank, world = self._rank_and_world()
        rows = range(rank, len(self.heldout_set), world)
        return fixed_loader(self.heldout_set, collate, self._share_size(), self.num_workers, self._pin_memory(), rows)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the finished batches. ValueError as in `require_same_order`."""
        if self._fitting():
            if self.require_same_order(state_dict):
                message = "%s: %s samples when the checkpoint was saved, %d now; the run goes on with batch %d of these"
                log.warning(message, self.path, state_dict["samples"], len(self.train_set), state_dict["batches"])
            self._start = state_dict["batches"]

    def require_same_order(self, state_dict: Mapping[str, Any]) -> bool:
        """Refuse to go on where this run would order its batches otherwise than the one that was saved.

        Returns:
            Whether the samples are others, which `allow_other_data` allows.

        Raises:
            ValueError: what has changed.
        """
        return require_same_order(self._order_facts(), state_dict, self.allow_other_data)

    def _read(self, folder: Path, filter: Filter | None) -> ShardDataset:
        index = ShardIndex.build(folder, needs=self.needs, progress=self.progress, on_bad_shard=self.on_bad_shard)
        index = index if filter is None else taken(index, filter)
        return ShardDataset(index, self.image_size, self.decoder)

    def _batches(self) -> GlobalBatches:
        rank, world = self._rank_and_world()
        count, batch_size, random_crops = len(self.train_set), self.batch_size, self.crop == "random"
        batches = GlobalBatches(
            count, batch_size, self.seed, rank, world, self._start, self.flip, random_crops, self.buckets
        )
        if overfit := getattr(self.trainer, "overfit_batches", 0):  # the same ones in each epoch
            batches.only = max(1, overfit if isinstance(overfit, int) else int(len(batches) * overfit))
        return batches

    @property
    def epoch_batches(self) -> int:
        """Batches of an epoch of training."""
        if self.buckets is not None:
            return int(self.buckets.batches(self.batch_size).sum())
        return len(self.train_set) // self.batch_size

    def _validation_loader(self, dataset: Dataset[Any], collate_fn: Any, num_workers: int) -> DataLoader[Any]:
        """Return a loader of this rank's every `world`-th sample, with equally many batches on each."""
        ranks, samples = Ranks(*self._rank_and_world()), self._validated()
        return fixed_loader(dataset, collate_fn, self._share_size(), num_workers, self._pin_memory(), samples, ranks)

    def _validated(self) -> Sequence[int | View]:
        count = min(self.val_samples, len(self.heldout_set))
        if self.buckets is None:
            return range(count)
        return buckets_of(self.heldout_set.index, self.buckets.sizes).views(count)

    def _order_facts(self) -> Facts:
        index, classes = self.train_set.index, self.needs.classes is not None
        facts = order_facts(index, self.batch_size, self.seed, self.flip, classes, self.crop, self.filter)
        sizes = [f"{height}x{width}" for height, width in self.sizes or ()]
        return {**facts, **self.decoder.facts, "crops": self.crops, "buckets": " ".join(sizes) or "none"}
