from __future__ import annotations

import multiprocessing
import os
import select
import signal
import time

import torch
from torch.utils.data import TensorDataset

from ldmlab.data.order.loaders import fixed_loader

QUICK = 4
"""Seconds; PyTorch's own workers look for their parent every five."""


def read_without_end(writes: int) -> None:
    batches = iter(fixed_loader(TensorDataset(torch.zeros(100)), list, 2, 2, False))
    next(batches)
    os.write(writes, b"reads")
    time.sleep(60)


def test_workers_end_with_a_parent_that_is_killed_alone() -> None:
    """They hold what it had open, such as the lock of a folder, for as long as they live."""
    reads, writes = os.pipe()
    parent = multiprocessing.get_context("fork").Process(target=read_without_end, args=(writes,))
    parent.start()
    os.close(writes)
    assert os.read(reads, 5) == b"reads"
    assert parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert select.select([reads], [], [], QUICK)[0]
    assert os.read(reads, 1) == b""  # nobody has the other end
    os.close(reads)
