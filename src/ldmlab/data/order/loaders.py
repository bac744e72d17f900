"""DataLoaders: the endless one of training, which goes on from any batch, and one that goes through its data once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.views import View, as_view
from ldmlab.data.worker_processes import start_loader_worker
from ldmlab.ranks import ALONE, Ranks


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
            worker_init_fn=start_loader_worker,
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


class FixedLoader(DataLoader[Any]):
    """DataLoader of which a batch may say how many samples at its end are there to fill it up alone.

    Attributes:
        full_batch: samples of a full batch.
        fillers: how many, by the number of the batch; they are `batch["fillers"]` where there are any.
    """

    full_batch = 0

    fillers: Mapping[int, int] = MappingProxyType({})

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for number, batch in enumerate(super().__iter__()):
            yield {**batch, "fillers": self.fillers[number]} if number in self.fillers else batch


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
        rows: the samples, as rows or views; all if not given. A batch holds neighbours of one size.
        ranks: of which each has every `world`-th sample, and equally many: where they do not come out even, one that is
            short of a sample repeats one as a filler, which is not to be counted.
    """
    batches: list[Sequence[int | View]] = []
    fillers = {}
    for samples in _of_one_size(range(len(dataset)) if rows is None else rows):  # type: ignore[arg-type]
        own = list(ranks.share(samples))
        missing = -(-len(samples) // ranks.world) - len(own)
        own += samples[:missing]
        batches += [own[start : start + batch_size] for start in range(0, len(own), batch_size)]
        if missing:
            fillers[len(batches) - 1] = missing
    loader = FixedLoader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]  # views are for the dataset to read
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=start_loader_worker,
    )
    loader.full_batch, loader.fillers = batch_size, fillers
    return loader


def _of_one_size(rows: Sequence[int | View]) -> list[Sequence[int | View]]:
    """Runs of neighbours that are seen at one size."""
    if isinstance(rows, range):
        return [rows]
    return [list(run) for _, run in groupby(rows, lambda sample: as_view(sample).size)]
