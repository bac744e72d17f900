"""The DataModule of a stream: shards that come as they are read, in training batches that a run can go on from."""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from ldmlab.data.decoding.decoders import DecoderName, decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.order.crops import require_crop
from ldmlab.data.order.flips import flip_probability, warn_of_sides
from ldmlab.data.order.loaders import fixed_loader
from ldmlab.data.order.order_facts import ALL, Facts
from ldmlab.data.problems import PROBLEMS
from ldmlab.data.shard_dataset import collate
from ldmlab.data.streams.first_samples import First, HeldSamples, first_captions, first_samples
from ldmlab.data.streams.opening import require_answer
from ldmlab.data.streams.order import Share
from ldmlab.data.streams.problem_log import ProblemLog
from ldmlab.data.streams.reader import Recipe, StreamReader
from ldmlab.data.streams.source import StreamSource
from ldmlab.data.streams.stream_loader import StreamLoader, StreamState
from ldmlab.data.streams.urls import expand_urls
from ldmlab.data.training_data import TrainingData
from ldmlab.ranks import ALONE, Ranks

log = logging.getLogger(__name__)

PICTURES = 64
"""Training samples that are looked at before training."""
CAPTIONS = 2000
"""That a tokenizer is fitted to."""
HELD_OUT = 256
"""Samples for validation, where there are urls of such and nobody says how many."""
LONGEST = 400
"""Characters of the urls in a message."""
URLS, HELDOUT = "data.urls", "data.heldout_urls"
OF_THE_STREAM = ("filter", "urls", "ranks", "num_workers")
"""What a new round over the shards does not depend on."""


class StreamDataModule(TrainingData):
    """Reads shards from their begin to their end, wherever they are: nothing is indexed, sought in or kept on the disk.

    Each process that decodes, of each rank, is a reader with shards of its own; where there are fewer shards than
    readers, several read a shard and take turns with its samples. The state is where each reader has come to: which
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
        scaled_decoding: see `decoder_of`.
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
        super().__init__(batch_size, image_size, num_workers, seed, decoder_of(decoder, scaled_decoding), filter)
        self.samples = samples
        self.shuffle = shuffle
        self.val_samples = (HELD_OUT if heldout_urls else 0) if val_samples is None else val_samples
        self.flip = flip_probability(flip)
        self.crop = require_crop(crop)
        self._require_settings(on_bad_shard)
        own = StreamSource(expand_urls(urls, URLS, secure), filter=filter, secure=secure, stops=on_bad_shard == "stop")
        self._given = urls if isinstance(urls, str) else f"[{','.join(urls)}]"
        self._own = own
        self._heldout = replace(own, urls=expand_urls(heldout_urls, HELDOUT, secure)) if heldout_urls else None
        self._problems = ProblemLog()
        self._loader: StreamLoader | None = None
        self._start = StreamState.begin(self._readers), 0

    @property
    def location(self) -> str:
        """The urls as they were given."""
        return self._given if len(self._given) <= LONGEST else f"{self._given[: LONGEST - 3]}..."

    @property
    def overrides(self) -> str:
        """The urls, and the size of the images."""
        data = f"data=stream {shlex.quote(f'data.urls={self.location}')} data.image_size={self.image_size}"
        return data if self.filter is None else f"{data} {self.filter.overrides}"

    @property
    def fingerprint(self) -> None:
        """Not known: it would be known once all of them were read."""

    @property
    def has_heldout(self) -> bool:
        """Whether there are urls of them, or some of the stream are set aside."""
        return self._heldout is not None or self.val_samples > 0

    @property
    def epoch_batches(self) -> int | None:
        """Those of `samples`."""
        return None if self.samples is None else self.samples // self.batch_size

    @cached_property
    def heldout_set(self) -> HeldSamples:
        """The held-out samples that validation reads, or some to look at. ValueError where there are none."""
        return self._held(self._set_aside if self._heldout is None else self._read(self._heldout, HELDOUT))

    @cached_property
    def train_set(self) -> HeldSamples:
        """The first training samples. ValueError where there are none."""
        return self._held(first_samples(self._source, PICTURES, URLS, self.decoder))

    @cached_property
    def captions(self) -> list[str]:
        """The first captions of the training samples. ValueError where there are none."""
        return first_captions(self._source, CAPTIONS, URLS)

    def require_source(self) -> None:
        """Raise ValueError where the server of the first shard does not answer."""
        require_answer(self._own.urls[0], URLS)

    def summary(self) -> str:
        """How many shards there are."""
        return f"a stream of shards ({len(self._own.urls)}), whose samples are checked as they come"

    def write_problems(self, folder: Path, ranks: Ranks = ALONE) -> None:
        """Name problems in a table in a folder as they are found, each rank in its own."""
        name = PROBLEMS if ranks.is_first else PROBLEMS.replace(".", f"-rank{ranks.rank}.")
        self._problems.write_to(folder / name)

    def replaced(self) -> str:
        """What was left out."""
        found = self._problems.summary()
        return f"left out of training: {found}" if found else ""

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
        state, batches = self._start
        size = self._share_size()
        chunk = -(-size // self._readers)
        readers = [
            StreamReader(self._source, recipe, Share(rank * self._readers + n, world * self._readers), chunk, place)
            for n, place in enumerate(state.places)
        ]
        rounds_end = self.samples is None and world == 1
        loader = StreamLoader(
            readers, self.num_workers > 0, size, self.epoch_batches, rounds_end, (state, batches), self._problems.add
        )
        self._loader = loader
        return loader

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the first `val_samples` held-out samples in order; nothing where there are none."""
        if not self.val_samples or not self.has_heldout:
            return []
        rows, ranks = range(min(self.val_samples, len(self.heldout_set))), Ranks(*self._rank_and_world())
        size, pins = self._share_size(), self._pin_memory()
        return fixed_loader(self.heldout_set, collate, size, self.num_workers, pins, rows, ranks)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of finished batches, what they depend on, and where every rank's readers are."""
        if not self._fitting():
            return {}
        finished = self._finished()
        state = self._start[0] if self._loader is None else self._loader.state_after(finished)
        return {**super().state_dict(), "places": Ranks(*self._rank_and_world()).gather(state.plain())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the finished batches. ValueError as in `require_same_order`."""
        if self._fitting():
            if self.require_same_order(state_dict):
                log.warning("%s: read otherwise than when the checkpoint was saved; begins a new round", self.location)
                state = StreamState.anew(state_dict["places"], self._readers)
            else:
                state = StreamState.read(state_dict["places"], self._rank_and_world()[0], self._readers)
            self._start = state, state_dict["batches"]

    def require_same_order(self, state_dict: Mapping[str, Any]) -> bool:
        """Refuse to go on where this run would read otherwise than the one that was saved.

        Returns:
            Whether the shards are others, or divided among others, which `allow_other_data` allows.

        Raises:
            ValueError: what has changed.
        """
        facts = self._order_facts()
        changed = [name for name, value in facts.items() if state_dict.get(name) != value]
        if not changed:
            return False
        may_differ = {*changed} <= {*OF_THE_STREAM}
        if not (may_differ and self.allow_other_data):
            name = changed[0]
            fix = ", or go on with a new round over the shards by allow_other_data=true" if may_differ else ""
            raise ValueError(
                f"the checkpoint was trained with {name}={state_dict.get(name)}, this run has {name}={facts[name]}:"
                f" resume with the same, or start a new run{fix}"
            )
        return True

    def _order_facts(self) -> Facts:
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "flip": self.flip,
            "crop": self.crop,
            "scaled_decoding": self.decoder.scaled,
            "filter": str(self.filter or ALL),
            "urls": hashlib.sha256("\n".join(self._own.urls).encode()).hexdigest(),
            "ranks": self._rank_and_world()[1],
            "num_workers": self._readers,
        }

    @property
    def _readers(self) -> int:
        return max(1, self.num_workers)

    @property
    def _source(self) -> StreamSource:
        """What is trained on."""
        reserved = {} if self._heldout is not None or not self.val_samples else self._set_aside.passed
        return replace(self._own, needs=self.needs, reserved=reserved)

    @cached_property
    def _set_aside(self) -> First:
        """The first samples of the stream, for validation."""
        return self._read(self._own, URLS)

    def _read(self, source: StreamSource, key: str) -> First:
        return first_samples(replace(source, needs=self.needs), self.val_samples or PICTURES, key, self.decoder)

    def _held(self, first: First) -> HeldSamples:
        return HeldSamples(first.samples, self.needs, self.image_size, self.decoder)

    def _require_settings(self, on_bad_shard: str) -> None:
        least = {"batch_size": 1, "image_size": 1, "shuffle": 1, "val_samples": 0, "samples": self.batch_size}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ValueError(f"data.{name}={value} is too small: give {smallest} or more")
        if on_bad_shard not in ("skip", "stop"):
            raise ValueError(f"data.on_bad_shard={on_bad_shard}: give skip or stop")


def _require_no_overfitting(trainer: Any) -> None:
    if getattr(trainer, "overfit_batches", 0):
        raise ValueError("trainer.overfit_batches: a stream does not give the same batches again; train on data=shards")
