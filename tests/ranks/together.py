"""Runs a function in several processes that torchrun could have started: forks of one server that has imported all."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import runpy
import socket
import traceback
from collections.abc import Callable
from typing import Any

PRELOADED = ["hydra", "lightning", "ldmlab.configs.training", "ldmlab.configs.compose"]
RANK = "a rank"
"""The name of this file where it is run as one: no other process need find it in a package."""
PATIENCE = 120.0
"""Seconds that ranks have, all together."""


def together(
    function: Callable[..., Any], *arguments: Any, ranks: int, nodes: int = 1, patience: float = PATIENCE
) -> list[Any]:
    """What a function of a module returns in each of so many ranks, in their order.

    Args:
        function: of a file that imports nothing from beside it; called with the arguments in each rank.
        *arguments: plain values.
        ranks: how many processes.
        nodes: hosts that they say they are spread over.
        patience: seconds after which they are given up.

    Raises:
        AssertionError: a rank failed, or took too long; the others are ended.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    where = function.__code__.co_filename, function.__name__
    answers, port = context.SimpleQueue(), free_port()
    processes = [
        context.Process(
            target=runpy.run_path, args=(__file__, {"JOB": (answers, rank, ranks, nodes, port, where, arguments)}, RANK)
        )
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    found: dict[int, Any] = {}
    try:
        while len(found) < ranks:
            rank, answer, trouble = _next(answers, patience)
            assert trouble is None, f"rank {rank} of {ranks}:\n{trouble}"
            found[rank] = answer
    finally:
        for process in processes:
            process.join(5 if len(found) == ranks else 0)
            process.kill()
    return [found[rank] for rank in range(ranks)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _next(answers: Any, patience: float) -> tuple[int, Any, str | None]:
    if not answers._poll(patience):
        raise AssertionError(f"no rank has answered for {patience} seconds: they wait for each other")
    answer: tuple[int, Any, str | None] = answers.get()
    return answer


def _rank(
    answers: Any, rank: int, ranks: int, nodes: int, port: int, where: tuple[str, str], arguments: tuple[Any, ...]
) -> None:
    each = ranks // nodes
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank % each),
        "GROUP_RANK": str(rank // each),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(each),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "tests",
        "OMP_NUM_THREADS": "1",
    }
    import torch

    torch.set_num_threads(1)
    try:
        answers.put((rank, _loaded(*where)(*arguments), None))
    except BaseException:
        answers.put((rank, None, traceback.format_exc()))


def _loaded(path: str, name: str) -> Callable[..., Any]:
    """The function of a file, which need not be in a package that other processes find."""
    spec = importlib.util.spec_from_file_location("ranks_do", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = getattr(module, name)
    return function


if __name__ == RANK:
    _rank(*globals()["JOB"])
