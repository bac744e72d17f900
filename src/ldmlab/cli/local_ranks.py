"""A command on several devices of this host: a process for each, started and watched by torchrun's library."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ldmlab.cli.errors import RankError
from ldmlab.ranks import launched
from ldmlab.training.signals import SIGNALS, Stopped

CONFIG, HYDRA = "config.yaml", "hydra.yaml"
_LOGGERS = ("torch.distributed.elastic.multiprocessing.api", "torch.distributed.elastic.multiprocessing.redirects")


@dataclass(frozen=True)
class Ending:
    """How a rank ended, in a file that it leaves.

    Attributes:
        rank: which.
        time: when, in seconds of the host's clock.
        code: the exit code.
        line: what to tell the user.
        trace: of a bug.
        figure: what the command returned.
    """

    rank: int
    time: float
    code: int = 0
    line: str | None = None
    trace: str | None = None
    figure: float | None = None

    def write(self, folder: Path) -> None:
        """Leave it in a folder."""
        (folder / f"{self.rank}.json").write_text(json.dumps(vars(self)))

    @classmethod
    def read_all(cls, folder: Path) -> list[Ending]:
        """The endings that ranks have left in a folder, the first to end first."""
        return sorted(
            (cls(**json.loads(path.read_text())) for path in folder.glob("*.json")), key=lambda each: each.time
        )


def run_on_ranks(count: int, command: str, config: DictConfig) -> float | None:
    """Run a command on several ranks of this host, each with its whole config.

    Args:
        count: how many.
        command: its name.
        config: checked; its folder is this process' own.

    Returns:
        What the command returns on the first rank.

    Raises:
        RankError: a rank failed, or was killed.
        Stopped: a signal ended all of them in good order.
    """
    if launched() is not None:
        raise ValueError("this is a process of torchrun or srun already, which starts no more of them")
    with tempfile.TemporaryDirectory(prefix="ldmlab-ranks-") as made:
        folder = Path(made)
        (folder / CONFIG).write_text(OmegaConf.to_yaml(config))
        (folder / HYDRA).write_text(OmegaConf.to_yaml(HydraConfig.instance().cfg))
        codes = _wait_for(_start(count, command, folder))
        endings = Ending.read_all(folder)
    failed = next((each for each in endings if each.code), None)
    killed = {rank: -code for rank, code in codes.items() if code < 0 and rank not in {each.rank for each in endings}}
    if failed is not None or any(codes.values()):
        raise _failure(failed, killed, codes, count, {each.line for each in endings if each.rank == 0})
    return next((each.figure for each in endings if each.rank == 0), None)


def _failure(
    failed: Ending | None, killed: dict[int, int], codes: dict[int, int], count: int, by_first: set[str | None]
) -> RankError | Stopped:
    """What to tell of the rank that ended first; what the others say of it follows from that."""
    hard = {rank: number for rank, number in killed.items() if number == signal.SIGKILL}
    if hard and (failed is None or failed.code < 128):
        rank = min(hard)
        advice = "if memory ran out, lower the size of batches or the number of devices"
        return RankError(f"rank {rank} of {count} was killed (SIGKILL), and all ranks ended with it; {advice}", 128 + 9)
    if failed is None:
        rank, code = next((rank, code) for rank, code in codes.items() if code)
        return RankError(f"rank {rank} of {count} ended with code {code}, and all ranks with it", abs(code))
    if failed.code > 128 and failed.line is not None:
        return Stopped(failed.code - 128, failed.line)
    if failed.trace is not None:
        print(failed.trace, file=sys.stderr)
    where = "" if failed.line in by_first else f" (on rank {failed.rank} of {count})"
    return RankError(None if failed.line is None else failed.line + where, failed.code)


def _start(count: int, command: str, folder: Path) -> Any:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, start_processes
    from torch.distributed.elastic.utils.distributed import get_free_port

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its words are of local ranks, ours follow
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(get_free_port()),
        "TORCHELASTIC_RUN_ID": "ldmlab",
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),  # its hints at DDP's settings
        **_threads(count),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    words = ("-P", "-m", "ldmlab.cli.rank", command, str(folder), str(os.getpid()))
    return start_processes(
        name="ldmlab",
        entrypoint=sys.executable,
        args=dict.fromkeys(range(count), words),
        envs={rank: {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)},
        logs_specs=DefaultLogsSpecs(str(folder / "logs")),
    )


def _threads(count: int) -> dict[str, str]:
    """On CPUs as many as a process alone would have, since sums are in another order with others; so they yield."""
    from torch import cuda

    if "OMP_NUM_THREADS" in os.environ or not cuda.is_available():
        return {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}


def _wait_for(processes: Any) -> dict[int, int]:
    """The exit codes by rank. One that fails ends the others; signals are handed on, and ranks end in good order."""
    with _handing_on(processes):
        try:
            result = processes.wait(period=0.1)
        finally:
            processes.close(signal.SIGKILL)
    failures = {} if result is None else result.failures
    return {rank: failures[rank].exitcode if rank in failures else 0 for rank in processes.pids()}


@contextmanager
def _handing_on(processes: Any) -> Iterator[None]:
    """Signals to this process go to all ranks inside the block."""

    def hand_on(number: int, frame: object) -> None:
        for pid in processes.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGQUIT)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, hand_on)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
