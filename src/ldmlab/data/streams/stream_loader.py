"""Training batches of a stream: what the readers of a rank read, in turn, and where they have come to."""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count, zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ldmlab.data.index.json_keys import needed_of
from ldmlab.data.problems import Problem
from ldmlab.data.shard_dataset import ImageBatch, ImageSample, collate
from ldmlab.data.streams.entries import StreamSample
from ldmlab.data.streams.order import Place
from ldmlab.data.streams.reader import Chunk, ReadSample, StreamReader
from ldmlab.data.streams.stream_state import StreamState
from ldmlab.data.worker_processes import start_loader_worker

AHEAD = 2
"""Batches that a trainer may have taken ahead, and leaves where it ends an epoch before its end."""
KEPT = 16
"""States that are remembered: more than the batches that a trainer is ahead of those that it has finished."""


_Waiting = tuple[ReadSample, Any]
"""With its image, where it has one."""


class StreamLoader:
    """Gives batches without end, in epochs; each iteration goes on where the last one stopped.

    One sample comes from each reader in turn. A reader that has come to the end of a round over the shards is passed
    over until all of the rank's have; what it reads ahead waits.

    Args:
        readers: of this rank.
        in_processes: give each a process of its own.
        size: samples in a batch of this rank.
        epoch: batches of an epoch; None for a round.
        rounds_end: a round ends an epoch, and the last batch of it has what is left; otherwise batches go over its end,
            and epochs without a number of batches never end.
        start: where the readers begin, and after how many batches.
        report: told each problem, once its place is passed.
        finished: counts the batches that are trained on; of those that were handed out, others come again. All of them
            are if not given.
        pin_memory: for a GPU.
    """

    def __init__(
        self,
        readers: Sequence[StreamReader],
        in_processes: bool,
        size: int,
        epoch: int | None,
        rounds_end: bool,
        start: tuple[StreamState, int],
        report: Callable[[Problem], None],
        finished: Callable[[], int] | None = None,
        pin_memory: bool = False,
    ) -> None:
        self.readers = readers
        self.in_processes = in_processes
        self.size = size
        self.epoch = epoch
        self.rounds_end = rounds_end
        self.report = report
        self.finished = finished
        self.pin_memory = pin_memory
        self._state, self.batches = start
        self._turn, self._places = self._state.turn, list(self._state.places)
        self._named = self._state.named
        self._states = {self.batches: self._state}
        self._handed: deque[tuple[int, ImageBatch]] = deque(maxlen=AHEAD)
        self._waiting: list[deque[_Waiting]] = [deque() for _ in readers]
        self._chunks: list[Iterator[Chunk]] = []
        self._empty_rounds = int(all(place == Place(place.round) for place in self._places))

    def state_after(self, batches: int) -> StreamState:
        """Where the readers were after so many batches of the run, at most `KEPT` ago."""
        return self._states[batches]

    def __bool__(self) -> bool:
        return True  # whatever its length

    def __len__(self) -> int:
        if self.epoch is None:
            raise TypeError("a round over the shards has no length that is known")
        return self.epoch

    def close(self) -> None:
        """End the readers' processes; nothing can be read any more."""
        atexit.unregister(self.close)
        for chunks in self._chunks:
            if end := getattr(chunks, "_shutdown_workers", None):
                end()
        self._chunks = []

    def __iter__(self) -> Iterator[ImageBatch]:
        finished = self.batches if self.finished is None else self.finished()
        yield from [batch for number, batch in self._handed if number > finished]
        for _ in count() if self.epoch is None else range(self.epoch - self.batches % self.epoch):
            samples, is_last = self._take()
            if samples:
                self.batches += 1
                self._states[self.batches] = self._state_now()
                self._states.pop(self.batches - KEPT, None)
                self._handed.append((self.batches, self._batch(samples)))
                yield self._handed[-1][1]
            if is_last:
                return

    def _batch(self, samples: list[ImageSample]) -> ImageBatch:
        batch = collate(samples)
        if self.pin_memory:
            batch["images"] = batch["images"].pin_memory()
        return batch

    def _take(self) -> tuple[list[ImageSample], bool]:
        """The samples of a batch, and whether an epoch ends with them because its round does."""
        samples: list[ImageSample] = []
        while len(samples) < self.size:
            sample = self._next()
            if sample is not None:
                samples.append(sample)
            elif self._is_between_rounds() and self.rounds_end:
                return samples, True
        while self.rounds_end and self._ahead()[0][0].sample is None:
            self._next()
            if self._is_between_rounds():
                return samples, True
        return samples, False

    def _next(self) -> ImageSample | None:
        """What the reader whose turn it is gives; None for the end of its round."""
        read, image = self._ahead().popleft()
        for problem in read.problems:
            self._named += 1
            self.report(problem)
        self._places[self._turn] = read.place
        self._turn = self._following()
        if read.sample is None:
            self._require_samples()
            return None
        self._empty_rounds = 0
        return self._as_image_sample(read.sample, read.entry, image)

    def _ahead(self) -> deque[_Waiting]:
        """What the reader whose turn it is has read ahead, at least one sample."""
        waiting = self._waiting[self._turn]
        while not waiting:
            samples, images = next(self._iterators()[self._turn])
            waiting.extend(zip_longest(samples, images))
        return waiting

    def _state_now(self) -> StreamState:
        return StreamState(tuple(self._places), self._turn, self._state.first, self._named)

    def _following(self) -> int:
        """The next reader whose round is not over before that of others."""
        readers = len(self.readers)
        earliest = min(place.round for place in self._places)
        turns = ((self._turn + step) % readers for step in range(1, readers + 1))
        return next(turn for turn in turns if self._places[turn].round == earliest)

    def _is_between_rounds(self) -> bool:
        return len({place.round for place in self._places}) == 1

    def _require_samples(self) -> None:
        """Two ends of rounds, or a begin and an end, with no sample in between mean that there is none."""
        if self._is_between_rounds():
            self._empty_rounds += 1
        if self._empty_rounds > 1:
            url = self.readers[0].source.urls[0]
            raise ValueError(f"data.urls={url}: no usable sample in a whole round over the shards; give others")

    def _as_image_sample(self, sample: StreamSample, entry: int, image: Tensor) -> ImageSample:
        return ImageSample(
            image=image.permute(2, 0, 1),
            caption=sample.caption,
            label=sample.label,
            key=sample.key,
            row=entry,
            columns=needed_of(sample.meta, self.readers[0].source.needs),
        )

    def _iterators(self) -> list[Iterator[Chunk]]:
        if not self._chunks:
            self._chunks = [self._begun(reader) for reader in self.readers]
            atexit.register(self.close)  # before multiprocessing waits for processes that heed no signal
        return self._chunks

    def _begun(self, reader: StreamReader) -> Iterator[Chunk]:
        if not self.in_processes:
            return iter(reader)
        return iter(
            DataLoader(
                reader,
                batch_size=None,
                collate_fn=as_it_is,
                num_workers=1,
                generator=torch.Generator().manual_seed(reader.recipe.seed),
                worker_init_fn=start_loader_worker,
            )
        )


def as_it_is(chunk: Any) -> Any:
    """Leave a chunk as its reader has made it."""
    return chunk
