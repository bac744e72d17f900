"""Progress on the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")


def track(items: Iterable[T], what: str) -> Iterator[T]:
    """Iterate under a progress bar on stderr."""
    return iter(rich_track(items, what, console=Console(stderr=True)))


NOISE = (
    ".*does not have many workers",
    ".*Checkpoint directory",
    ".*Experiment logs directory",
    ".*The number of training batches",
    ".*module\\(s\\) in eval mode",
    ".*Total length of `list`",
    ".*LeafSpec",
)


def quiet_lightning() -> None:
    """Leave out Lightning's notes that say nothing about the user's run."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message)
