"""The DataModule: shards in, resumable training batches and fixed held-out batches out, on any number of ranks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Dataset

from ldmlab.data.decoding.decoders import DecoderName, decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.latents.bucketed import BucketedLatents
from ldmlab.data.latents.cached_dataset import CachedLatents, as_is
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.variants import Variants
from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.crops import require_crop
from ldmlab.data.order.flips import flip_probability, warn_of_sides
from ldmlab.data.order.loaders import ResumableLoader, fixed_loader
from ldmlab.data.order.order_facts import Facts, order_facts, require_same_order
from ldmlab.data.order.views import View
from ldmlab.data.shard_dataset import collate
from ldmlab.data.shard_splits import ShardSplits
from ldmlab.ranks import Ranks

log = logging.getLogger(__name__)


class ShardDataModule(ShardSplits):
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
        decodes = decoder_of(decoder, scaled_decoding)
        super().__init__(
            path, batch_size, image_size, num_workers, seed, heldout_path, decodes, filter, buckets, on_bad_shard
        )
        if val_samples < 0:
            raise ValueError(f"val_samples={val_samples} is too small: give 0 or more")
        self.val_samples = val_samples
        self.flip = flip_probability(flip)
        self.crop = require_crop(crop)
        self.crops = 0
        self._latents: dict[str, CachedLatents | BucketedLatents] = {}
        self._start = 0

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
        self.keep_crops(caching.options.crops)
        views = Variants(len(self.train_set), self.flip > 0, self.crops or 1)
        splits = {"train": (self.train_set, views, self.buckets)}
        if self.has_heldout and self.val_samples:
            splits["heldout"] = self.heldout_set, Variants(len(self.heldout_set)), self.heldout_buckets
        for split, (samples, views, buckets) in splits.items():
            caching.claim(samples, split, views, buckets)
        for split, (samples, views, buckets) in splits.items():
            self._latents[split] = caching.of(samples, split, views, self.num_workers, buckets)

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

    def _batches(self) -> GlobalBatches:
        rank, world = self._rank_and_world()
        count, batch_size, random_crops = len(self.train_set), self.batch_size, self.crop == "random"
        batches = GlobalBatches(
            count, batch_size, self.seed, rank, world, self._start, self.flip, random_crops, self.buckets
        )
        if overfit := getattr(self.trainer, "overfit_batches", 0):  # the same ones in each epoch
            batches.only = max(1, overfit if isinstance(overfit, int) else int(len(batches) * overfit))
        return batches

    def _validation_loader(self, dataset: Dataset[Any], collate_fn: Any, num_workers: int) -> DataLoader[Any]:
        """Return a loader of this rank's every `world`-th sample, with equally many batches on each."""
        ranks, samples = Ranks(*self._rank_and_world()), self._validated()
        return fixed_loader(dataset, collate_fn, self._share_size(), num_workers, self._pin_memory(), samples, ranks)

    def _validated(self) -> Sequence[int | View]:
        count = min(self.val_samples, len(self.heldout_set))
        return range(count) if self.heldout_buckets is None else self.heldout_buckets.views(count)

    def _order_facts(self) -> Facts:
        index, classes = self.train_set.index, self.needs.classes is not None
        facts = order_facts(index, self.batch_size, self.seed, self.flip, classes, self.crop, self.filter)
        sizes = [f"{height}x{width}" for height, width in self.sizes or ()]
        return {**facts, **self.decoder.facts, "crops": self.crops, "buckets": " ".join(sizes) or "none"}
