"""Processes that leave signals to their parent, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


def start_worker() -> None:
    """Begin a process of a pool: leave Ctrl-C to the parent, and end with it, which the pool does not do by itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()


def start_loader_worker(number: int) -> None:
    """Begin a worker of a DataLoader: leave signals that reach all processes of a run to the parent, and end with it.

    The parent decides when it has read enough. Where it is killed alone, PyTorch's workers live on for seconds, with
    the lock of the run's folder.
    """
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, lambda *_: None)
    _end_with_parent()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
