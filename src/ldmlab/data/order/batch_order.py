"""The order of samples as a pure function of (seed, global batch number): stateless, resumable from one integer.

Batch k of the whole run is the same list for any number of workers and ranks; each rank takes its slice of it.
Random bits: Philox 4x32-10 keyed by (seed, epoch) (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from ldmlab.data.order.views import View
from ldmlab.ranks import ALONE, Ranks

BLOCK = 64
WINDOW = 64 * BLOCK


def epoch_order(size: int, seed: int, epoch: int, block: int = BLOCK, window: int = WINDOW) -> NDArray[np.int64]:
    """Return a permutation (size,) of the samples.

    Blocks of `block` neighbouring samples are permuted, then the samples within each run of `window` places: reads
    stay local to window/block places of the tars. With size <= window it is a plain uniform permutation.
    """
    # raw words rather than Generator.permutation, whose algorithm may change with numpy's version
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64))
    blocks = -(-size // block)
    starts = np.argsort(words.random_raw(blocks), kind="stable") * block
    order = (starts[:, None] + np.arange(block)).ravel()
    order = order[order < size]
    return order[np.lexsort((words.random_raw(size), np.arange(size) // window))]


def epoch_flips(size: int, seed: int, epoch: int, probability: float) -> NDArray[np.bool_]:
    """Return which places (size,) of an epoch's order show a mirror image, with bits of their own."""
    words = np.random.Philox(key=np.array([seed, 2**64 - 1 - epoch], np.uint64)).random_raw(size)
    return (words >> np.uint64(11)) * 2.0**-53 < probability


class GlobalBatches(Sampler[list[View]]):
    """Batch sampler over an endless run of epochs; one iteration gives the next `len(self)` batches from `start`.

    An epoch is size // batch_size full batches; the samples left over differ from epoch to epoch.

    Args:
        size: samples in the dataset.
        batch_size: samples in a batch of all ranks together.
        seed: chooses the order, 0 or more.
        rank: this process, of `world` processes.
        start: number of the next global batch, counted from the begin of the run: the whole state.
        flip: probability that a sample is mirrored.
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
        self.only = only
        self._epoch = -1
        self._order = np.empty(0, np.int64)
        self._flips = np.empty(0, np.bool_)

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[list[View]]:
        return (self.batch(number) for number in range(self.start, self.start + len(self)))

    def batch(self, number: int) -> list[View]:
        """Return this rank's samples of global batch `number`, as they are to be seen."""
        epoch, place = divmod(number if self.only is None else number % self.only, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(self.size, self.seed, epoch)
            self._flips = epoch_flips(self.size, self.seed, epoch, self.flip)
        share = self.batch_size // self.world
        first = place * self.batch_size + self.rank * share
        places = slice(first, first + share)
        return [*map(View, self._order[places].tolist(), self._flips[places].tolist())]


class ResumableLoader(DataLoader[Any]):
    """DataLoader over `GlobalBatches` that counts the batches handed out, not those its workers prefetch.

    Every iteration goes on where the last one stopped. The order never touches the global random state.

    Args:
        finished: where given, counts the finished batches for `state_dict` in place of those handed out. A trainer
            that dies within a batch has been handed it, but has not finished it.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batches: GlobalBatches,
        collate_fn: Callable[[Any], Any],
        num_workers: int = 0,
        pin_memory: bool = False,
        finished: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=batches,
            collate_fn=collate_fn,
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(batches.seed),
            worker_init_fn=leave_signals,
        )
        self.batches = batches
        self.finished = finished

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator, as counting needs
        for batch in super().__iter__():
            self.batches.start += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the number of the next batch of the run."""
        return {"batches": self.finished() if self.finished else self.batches.start}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a batch of the run; takes effect at the next iteration."""
        self.batches.start = state["batches"]


def leave_signals(worker: int) -> None:
    """Let a worker go on where a signal reaches all processes of a run: its parent decides when it has read enough."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)


class FixedLoader(DataLoader[Any]):
    """DataLoader whose last batch says how many samples at its end are there to fill it up alone.

    Attributes:
        fillers: how many; where there are any, they are `batch["fillers"]` of the last batch.
    """

    fillers = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for number, batch in enumerate(super().__iter__(), 1):
            yield {**batch, "fillers": self.fillers} if self.fillers and number == len(self) else batch


def fixed_loader(
    dataset: Dataset[Any],
    collate_fn: Callable[[Any], Any],
    batch_size: int,
    num_workers: int,
    pin_memory: bool,
    rows: Sequence[int | View] | None = None,
    ranks: Ranks = ALONE,
) -> FixedLoader:
    """Return a loader in the dataset's order, once through, that leaves the global random state alone.

    Args:
        dataset: a sample a number.
        collate_fn: makes a batch of samples.
        batch_size: samples in a batch of this process.
        num_workers: processes that read.
        pin_memory: for a GPU.
        rows: the samples, as rows or views; all if not given.
        ranks: of which each has every `world`-th sample, and equally many: where they do not come out even, one that is
            short of a sample repeats one as a filler, which is not to be counted.
    """
    rows = range(len(dataset)) if rows is None else rows  # type: ignore[arg-type]
    own = list(ranks.share(rows))
    fillers = -(-len(rows) // ranks.world) - len(own)
    loader = FixedLoader(
        Subset(dataset, own + list(rows[:fillers])),  # type: ignore[arg-type]  # views are for the dataset to read
        batch_size=batch_size,
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=leave_signals,
    )
    loader.fillers = fillers
    return loader
