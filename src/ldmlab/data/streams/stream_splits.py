"""What a stream holds for training and for validation, and what of it is looked at before training."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader

from ldmlab.data.decoding.decoders import Decoder
from ldmlab.data.filters.filter import Filter
from ldmlab.data.order.loaders import fixed_loader
from ldmlab.data.problems import PROBLEMS
from ldmlab.data.shard_dataset import collate
from ldmlab.data.streams.first_samples import First, HeldSamples, first_captions, first_samples
from ldmlab.data.streams.opening import require_answer
from ldmlab.data.streams.problem_log import ProblemLog
from ldmlab.data.streams.source import StreamSource
from ldmlab.data.streams.urls import expand_urls
from ldmlab.data.training_data import TrainingData
from ldmlab.ranks import ALONE, Ranks

PICTURES = 64
"""Training samples that are looked at before training."""
CAPTIONS = 2000
"""That a tokenizer is fitted to."""
HELD_OUT = 256
"""Samples for validation, where there are urls of such and nobody says how many."""
LONGEST = 400
"""Characters of the urls in a message."""
URLS, HELDOUT = "data.urls", "data.heldout_urls"


class StreamSplits(TrainingData):
    """Shards that are read from begin to end, and the first samples of them, which are held in memory.

    Args:
        urls: see `StreamDataModule`, as all that is not said here.
        heldout_urls: of held-out samples.
        val_samples: that validation reads.
        on_bad_shard: what becomes of one.
        secure: whether urls may run commands.
        batch_size: see `TrainingData`, as what follows.
        image_size: in pixels.
        num_workers: that decode.
        seed: of the order.
        decoder: of images.
        filter: of samples.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        heldout_urls: str | Sequence[str] | None,
        val_samples: int | None,
        on_bad_shard: Literal["skip", "stop"],
        secure: bool,
        batch_size: int,
        image_size: int,
        num_workers: int,
        seed: int,
        decoder: Decoder,
        filter: Filter | None,
    ) -> None:
        super().__init__(batch_size, image_size, num_workers, seed, decoder, filter)
        if on_bad_shard not in ("skip", "stop"):
            raise ValueError(f"data.on_bad_shard={on_bad_shard}: give skip or stop")
        self.val_samples = (HELD_OUT if heldout_urls else 0) if val_samples is None else val_samples
        self._given = urls if isinstance(urls, str) else f"[{','.join(urls)}]"
        stops = on_bad_shard == "stop"
        self._all = StreamSource(expand_urls(urls, URLS, secure), filter=filter, secure=secure, stops=stops)
        self._heldout = replace(self._all, urls=expand_urls(heldout_urls, HELDOUT, secure)) if heldout_urls else None
        self._problems = ProblemLog()

    @property
    def location(self) -> str:
        """The urls as they were given."""
        return self._given if len(self._given) <= LONGEST else f"{self._given[: LONGEST - 3]}..."

    @property
    def overrides(self) -> str:
        """The urls, the size of the images, and the filter."""
        data = f"data=stream {shlex.quote(f'data.urls={self.location}')} data.image_size={self.image_size}"
        return data if self.filter is None else f"{data} {self.filter.overrides}"

    @property
    def fingerprint(self) -> None:
        """Not known: it would be known once all of them were read."""

    @property
    def has_heldout(self) -> bool:
        """Whether there are urls of them, or some of the stream are set aside."""
        return self._heldout is not None or self.val_samples > 0

    @cached_property
    def heldout_set(self) -> HeldSamples:
        """The held-out samples that validation reads, or some to look at. ValueError where there are none."""
        return self._held(self._set_aside if self._heldout is None else self._first(self._heldout, HELDOUT))

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
        require_answer(self._all.urls[0], URLS)

    def summary(self) -> str:
        """How many shards there are."""
        return f"a stream of shards ({len(self._all.urls)}), whose samples are checked as they come"

    def write_problems(self, folder: Path, ranks: Ranks = ALONE) -> None:
        """Name problems in a table in a folder as they are found, each rank in its own."""
        name = PROBLEMS if ranks.is_first else PROBLEMS.replace(".", f"-rank{ranks.rank}.")
        self._problems.write_to(folder / name)

    def replaced(self) -> str:
        """What was left out."""
        found = self._problems.summary()
        return f"left out of training: {found}" if found else ""

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the first `val_samples` held-out samples in order; nothing where there are none."""
        if not self.val_samples or not self.has_heldout:
            return []
        rows, ranks = range(min(self.val_samples, len(self.heldout_set))), Ranks(*self._rank_and_world())
        size, pins = self._share_size(), self._pin_memory()
        return fixed_loader(self.heldout_set, collate, size, self.num_workers, pins, rows, ranks)

    @property
    def _source(self) -> StreamSource:
        """What is trained on."""
        reserved = {} if self._heldout is not None or not self.val_samples else self._set_aside.passed
        return replace(self._all, needs=self.needs, reserved=reserved)

    @cached_property
    def _set_aside(self) -> First:
        """The first samples of the stream, for validation."""
        return self._first(self._all, URLS)

    def _first(self, source: StreamSource, key: str) -> First:
        return first_samples(replace(source, needs=self.needs), self.val_samples or PICTURES, key, self.decoder)

    def _held(self, first: First) -> HeldSamples:
        return HeldSamples(first.samples, self.needs, self.image_size, self.decoder)
