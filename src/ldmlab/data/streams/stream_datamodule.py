"""The DataModule of a stream: shards that come as they are read, in training batches that a run can go on from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lightning.pytorch.trainer.states import TrainerFn

from ldmlab.data.decoding.decoders import DecoderName, decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.order.crops import require_crop
from ldmlab.data.order.flips import flip_probability, warn_of_sides
from ldmlab.data.order.order_facts import ALL, Facts
from ldmlab.data.streams.order import Share
from ldmlab.data.streams.reader import Recipe, StreamReader
from ldmlab.data.streams.stream_loader import StreamLoader
from ldmlab.data.streams.stream_splits import StreamSplits
from ldmlab.data.streams.stream_state import StreamState, require_same_stream
from ldmlab.ranks import Ranks

log = logging.getLogger(__name__)


class StreamDataModule(StreamSplits):
    """Reads shards from their begin to their end, wherever they are: nothing is indexed, sought in or kept on the disk.

    Each process that decodes, of each rank, is a reader with shards of its own; where there are fewer shards than
    readers, several read a shard, and each takes some of its samples. The state is where each reader has come to: which
    shard, and how many of its samples are dealt with. So a run goes on exactly where it was, with equally many ranks
    and workers. What is wrong with a sample or a shard is named as it is found.

    Args:
        urls: of the shards, see `expand_urls`.
        batch_size: samples in a batch of all ranks together.
        image_size: side of the images in pixels.
        num_workers: processes a rank that read and decode; 0 reads in the training process.
        seed: chooses the order of the training samples.
        samples: in an epoch. None for a round over all shards where one process trains, and an epoch without end where
            several do, which cannot know of each other's end.
        shuffle: samples that a reader holds at a time to mix them; 1 leaves them as they come. Their images are held
            encoded.
        heldout_urls: of the shards of held-out samples; None for none.
        val_samples: the first so many held-out samples are for validation; without `heldout_urls`, the first of the
            stream, which are not trained on then. None for 256 of those, or for no validation.
        flip: probability that a training sample is mirrored, left for right; True is 0.5.
        crop: "center", or "random": somewhere else in each round.
        decoder: of the images, see `decoder_of`.
        scaled_decoding: decode JPEG smaller where no more is needed, see `decoder_of`.
        on_bad_shard: "skip" names a shard that cannot be read and goes on, "stop" ends the run.
        secure: refuse urls that run a command.
        filter: which samples are taken; None for all.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        batch_size: int,
        image_size: int,
        num_workers: int = 1,
        seed: int = 0,
        samples: int | None = None,
        shuffle: int = 1000,
        heldout_urls: str | Sequence[str] | None = None,
        val_samples: int | None = None,
        flip: bool | float = False,
        crop: Literal["center", "random"] = "center",
        decoder: DecoderName = "auto",
        scaled_decoding: bool = False,
        on_bad_shard: Literal["skip", "stop"] = "skip",
        secure: bool = True,
        filter: Filter | None = None,
    ) -> None:
        least = {"batch_size": (batch_size, 1), "image_size": (image_size, 1), "shuffle": (shuffle, 1)}
        least |= {
            "val_samples": (val_samples or 0, 0),
            "samples": (batch_size if samples is None else samples, batch_size),
        }
        for name, (value, smallest) in least.items():
            if value < smallest:
                raise ValueError(f"data.{name}={value} is too small: give {smallest} or more")
        decoding = decoder_of(decoder, scaled_decoding)
        own = (urls, heldout_urls, val_samples, on_bad_shard, secure)
        super().__init__(*own, batch_size, image_size, num_workers, seed, decoding, filter)
        self.samples = samples
        self.shuffle = shuffle
        self.flip = flip_probability(flip)
        self.crop = require_crop(crop)
        self._ranks = 1
        self._loader: StreamLoader | None = None
        self._start = StreamState.begin(self._readers), 0

    @property
    def epoch_batches(self) -> int | None:
        """Batches of `samples`; None without those."""
        return None if self.samples is None else self.samples // self.batch_size

    def require_shares(self, world: int) -> None:
        """Raise ValueError where so many processes do not divide a batch; they are those that will read."""
        super().require_shares(world)
        self._ranks = world

    def setup(self, stage: str) -> None:
        """Read the first samples, so that a stream without any fails before anything is trained."""
        self._start = StreamState.begin(self._readers), 0
        if stage == TrainerFn.FITTING:
            _require_no_overfitting(self.trainer)
            captions = [sample.caption for sample in self.train_set.samples]
            if self.flip and self.needs.captions:
                warn_of_sides(captions, self.flip)
        if stage != TrainerFn.FITTING or self.has_heldout:
            self.heldout_set  # noqa: B018

    def teardown(self, stage: str) -> None:
        """End the processes that read."""
        if self._loader is not None:
            self._loader.close()

    def train_dataloader(self) -> StreamLoader:
        """Return the training batches, an epoch an iteration, from where the run has come to."""
        rank, world = self._rank_and_world()
        recipe = Recipe(self.image_size, self.seed, self.shuffle, self.flip, self.crop == "random", self.decoder)
        state, size = self._start[0], self._share_size()
        self._problems.go_back_to(state.named)
        source, chunk = self._source, -(-size // self._readers)
        readers = [
            StreamReader(
                source, recipe, Share(rank * self._readers + n, world * self._readers), chunk, place, state.first
            )
            for n, place in enumerate(state.places)
        ]
        self._loader = StreamLoader(
            readers,
            in_processes=self.num_workers > 0,
            size=size,
            epoch=self.epoch_batches,
            rounds_end=self.samples is None and world == 1,
            start=self._start,
            report=self._problems.add,
            finished=self._finished if self._fitting() else None,
            pin_memory=self._pin_memory(),
        )
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """Return the number of finished batches, what they depend on, and where every rank's readers are."""
        if not self._fitting():
            return {}
        state = self._start[0] if self._loader is None else self._loader.state_after(self._finished())
        return {**super().state_dict(), "readers": Ranks(*self._rank_and_world()).gather(state.plain())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the finished batches. ValueError as in `require_same_order`."""
        if self._fitting():
            if self.require_same_order(state_dict):
                state = StreamState.anew(state_dict["readers"], self._readers)
                message = "%s: read otherwise than when the checkpoint was saved; goes on with round %d over the shards"
                log.warning(message, self.location, state.first + 1)
            else:
                state = StreamState.read(state_dict["readers"], self._rank_and_world()[0], self._readers)
            self._start = state, state_dict["batches"]

    def require_same_order(self, state_dict: Mapping[str, Any]) -> bool:
        """Refuse to go on where this run would read otherwise than the one that was saved.

        Returns:
            Whether the shards are others, or divided among other readers, which `allow_other_data` allows.

        Raises:
            ValueError: what has changed.
        """
        return require_same_stream(self._order_facts(), state_dict, self.allow_other_data)

    def _order_facts(self) -> Facts:
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "flip": self.flip,
            "crop": self.crop,
            "scaled_decoding": self.decoder.scaled,
            "filter": str(self.filter or ALL),
            "urls": hashlib.sha256("\n".join(self._all.urls).encode()).hexdigest(),
            "ranks": self._rank_and_world()[1] if self.trainer else self._ranks,
            "num_workers": self._readers,
        }

    @property
    def _readers(self) -> int:
        return max(1, self.num_workers)


def _require_no_overfitting(trainer: Any) -> None:
    if getattr(trainer, "overfit_batches", 0):
        raise ValueError("trainer.overfit_batches: a stream does not give the same batches again; train on data=shards")
