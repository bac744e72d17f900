"""Progress on stderr: a bar on a terminal, lines with count, speed and time left elsewhere."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from ldmlab.pace import Pace, draws_bars
from ldmlab.ranks import is_first
from ldmlab.status import tell_of_progress

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")
WORTH_TELLING = 1.0
"""Seconds."""


def track(items: Iterable[T], what: str) -> Iterator[T]:
    """Iterate, and tell how far it has come."""
    with progress(what, len(items) if isinstance(items, Sized) else None) as advance:
        yield from counting(advance, items)


def counting(advance: Callable[[int], None], items: Iterable[T]) -> Iterator[T]:
    """Iterate over a part of what a `progress` tells of."""
    for item in items:
        yield item
        advance(1)


@contextmanager
def progress(what: str, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Tell how far something has come, as the function that is given counts it.

    Args:
        what: is done, for example "sampling".
        total: count at the end; None where it is not known.
        done: count at the start.
    """
    tell = (_bar if draws_bars(sys.stderr) else _lines) if is_first() else _nothing
    pace = Pace(total, done)
    with tell(what, total, done) as advance:

        def told(count: int) -> None:
            pace.done += count
            tell_of_progress(what, pace)
            advance(count)

        yield told


@contextmanager
def passes(network: nn.Module, what: str, total: int | None = None) -> Iterator[None]:
    """Tell how many passes a network has made, of how many if that is known, where nothing else counts them."""
    from ldmlab.compiling import untraced  # and PyTorch, without which shards are audited

    with progress(f"{what}, in passes", total) as advance:
        hook = network.register_forward_hook(untraced(lambda *_: advance(1)))
        try:
            yield
        finally:
            hook.remove()


@contextmanager
def _bar(what: str, total: int | None, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.advance(task, count)


@contextmanager
def _lines(what: str, total: int | None, done: int) -> Iterator[Callable[[int], None]]:
    """The first one early, and one at the end; none of what is over at once."""
    pace = Pace(total, done)

    def advance(count: int) -> None:
        pace.done += count
        if pace.done != total and pace.is_due():
            print(f"{what}: {pace.status()}", file=sys.stderr, flush=True)

    yield advance
    if pace.seconds_taken() >= WORTH_TELLING:
        print(f"{what}: {pace.count()} in {pace.taken()}", file=sys.stderr, flush=True)


@contextmanager
def _nothing(what: str, total: int | None, done: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


NOISE = (
    ".*does not have many workers",
    ".*Checkpoint directory",
    ".*Experiment logs directory",
    ".*The number of training batches",
    ".*module\\(s\\) in eval mode",
    ".*Total length of `list`",
    ".*LeafSpec",
    "The `srun` command is available",
    "You have overridden `on_before_batch_transfer`",
)


def quiet_lightning() -> None:
    """Leave out Lightning's notes that say nothing about the user's run."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message)
