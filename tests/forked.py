"""Ranks as forks of the test's process, which has imported everything already; they talk over gloo."""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from ldmlab.ranks import Ranks

PATIENCE = 60
"""Seconds."""


def on_ranks(world: int, run: Callable[[Ranks], Any]) -> list[Any]:
    """What `run` returns on each of so many ranks. What one of them raises is raised as an AssertionError."""
    context = multiprocessing.get_context("fork")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has none of its parent's
    try:
        with tempfile.TemporaryDirectory() as folder:
            pipes = [context.Pipe(duplex=False) for _ in range(world)]
            ranks = [
                context.Process(target=_rank, args=(Ranks(rank, world, rank), Path(folder), run, pipes[rank][1]))
                for rank in range(world)
            ]
            for process in ranks:
                process.start()
            try:
                return [_received(receiver, rank) for rank, (receiver, _) in enumerate(pipes)]
            finally:
                for process in ranks:
                    process.kill()
                    process.join()
    finally:
        torch.set_num_threads(threads)


def _received(receiver: Connection, rank: int) -> Any:
    assert receiver.poll(PATIENCE), f"rank {rank} hangs"
    value, failure = pickle.loads(receiver.recv_bytes())
    assert failure is None, f"rank {rank}: {failure}"
    return value


def _rank(ranks: Ranks, folder: Path, run: Callable[[Ranks], Any], sender: Connection) -> None:
    try:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=ranks.rank,
            world_size=ranks.world,
            timeout=timedelta(seconds=PATIENCE),
        )
        sender.send_bytes(pickle.dumps((run(ranks), None)))
        distributed.barrier()
    except BaseException:
        sender.send_bytes(pickle.dumps((None, traceback.format_exc())))
