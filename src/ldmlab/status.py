"""What a run says of itself while it runs: `status.json` in its folder, for whoever looks on from outside."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ldmlab.atomic import write_json
from ldmlab.files import read_text
from ldmlab.pace import Pace
from ldmlab.ranks import launched, slurm_job

log = logging.getLogger(__name__)

NAME = "status.json"
STATES = ("running", "done", "failed", "stopped", "requeued")
TRAINING = "training"
SECONDS = 10.0
"""Least time between two writes of how far a run has come."""


@dataclass(frozen=True)
class Status:
    """A run, as its `status.json` tells of it.

    Attributes:
        command: of `ldmlab`.
        state: one of `STATES`. A run that was killed stays "running"; see `is_over`.
        doing: what its steps are, for example "training" or "sampling".
        step: how far it has come.
        steps: where it ends; None where that is not known.
        left: seconds until then, when the file was written.
        started: when this process began, as a time of the clock in UTC (ISO 8601).
        updated: when the file was written.
        figure: the run's figure as {"name", "value"}; the value is None where it is not finite.
        error: what it failed with, in one line.
        slurm_job_id: of the job that it runs in, `<array>_<task>` within an array.
        world: how many processes work on it.
        host: of the process that writes.
        pid: of that process.
    """

    command: str
    state: str = "running"
    doing: str | None = None
    step: int = 0
    steps: int | None = None
    left: float | None = None
    started: str = ""
    updated: str = ""
    figure: dict[str, Any] | None = None
    error: str | None = None
    slurm_job_id: str | None = None
    world: int = 1
    host: str = ""
    pid: int = 0

    def write(self, folder: Path) -> None:
        """Write it, whole."""
        write_json(folder / NAME, asdict(replace(self, updated=now())))

    def age(self) -> float:
        """Seconds since it was written."""
        return time.time() - datetime.fromisoformat(self.updated).timestamp()


class Teller:
    """Tells of the run of this process. There is one at a time, `Teller.current`; without one nothing is told.

    The one that is over is `Teller.last`.

    Args:
        folder: of the run.
        status: to begin with.
    """

    current: ClassVar[Teller | None] = None
    last: ClassVar[Teller | None] = None

    def __init__(self, folder: Path, status: Status) -> None:
        self.folder, self.status = folder, status
        self._due = 0.0
        self._told_of_trouble = False

    def tell(self, at_once: bool = True, **facts: Any) -> None:
        """Change fields of the status, and write it. A disk that is full or gone ends no run.

        Args:
            at_once: write now; otherwise only if the last write is `SECONDS` ago.
            facts: fields of `Status`.
        """
        self.status = replace(self.status, **facts)
        if not at_once and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + SECONDS
        try:
            self.status.write(self.folder)
        except OSError as error:
            if not self._told_of_trouble:
                self._told_of_trouble = True
                log.warning("%s cannot be written (%s), and the run goes on", self.folder / NAME, error.strerror)


def tell(at_once: bool = True, **facts: Any) -> None:
    """Change what is told of the run of this process, see `Teller.tell`; nothing where none is told of."""
    if Teller.current is not None:
        Teller.current.tell(at_once, **facts)


def tell_afterwards(**facts: Any) -> None:
    """Change what is told of the run that this process has ended, as when it is to go on in another."""
    if Teller.last is not None:
        Teller.last.tell(**facts)


def tell_of_progress(doing: str, pace: Pace) -> None:
    """Tell how far something has come; beside training, which tells of its own steps, nothing."""
    if Teller.current is not None and Teller.current.status.doing != TRAINING:
        Teller.current.tell(at_once=False, doing=doing, step=pace.done, steps=pace.total, left=pace.left())


def tell_result(name: str | None, value: float | None) -> None:
    """Tell what a command returned as its figure, by a name that it may have told already."""
    if Teller.current is not None and value is not None:
        told = Teller.current.status.figure or {"name": "figure"}
        Teller.current.tell(at_once=False, figure=told_figure(name or told["name"], value))


def told_figure(name: str | None, value: float | None) -> dict[str, Any] | None:
    """The figure of a run for `Status.figure`; None where there is none."""
    if name is None or value is None:
        return None
    return {"name": name, "value": value if math.isfinite(value) else None}


@contextmanager
def telling(folder: Path, command: str, explain: Callable[[BaseException], str]) -> Iterator[None]:
    """Keep the status of a run: running inside the block, and then done, failed, or stopped as by a signal.

    Args:
        folder: of the run, which is there; of several processes that work on it, the first one tells.
        command: of `ldmlab`.
        explain: the line that says what went wrong.
    """
    outer, Teller.current = Teller.current, Teller(folder, _begun(command))
    teller = Teller.current
    teller.tell()
    try:
        yield
    except BaseException as error:
        failed = isinstance(error, Exception)
        asked = teller.status.state == "requeued"
        if not asked:
            teller.tell(state="failed" if failed else "stopped", error=explain(error) if failed else None, left=None)
        raise
    else:
        teller.tell(state="done", left=None)
    finally:
        Teller.current, Teller.last = outer, teller


@contextmanager
def told_by_others(
    folder: Path, command: str, explain: Callable[[BaseException], str], knows_why: bool = False
) -> Iterator[None]:
    """Tell that a run failed of which processes tell that this one has started, where a kill kept them from it.

    Args:
        folder: of the run.
        command: of `ldmlab`.
        explain: the line that says what went wrong.
        knows_why: whether this process, which has seen all of them end, knows better than they do what went wrong.
    """
    try:
        yield
    except Exception as error:
        status, said = read_status(folder) or _begun(command), explain(error)
        if status.state == "running" or (knows_why and said and status.state == "failed"):
            Teller(folder, status).tell(state="failed", error=said, left=None)
        raise


def read_status(folder: Path) -> Status | None:
    """What a folder says of its run; None where it says nothing that can be read."""
    try:
        known = json.loads(read_text(folder / NAME, 2**16))
        status = Status(**{name: known[name] for name in Status.__dataclass_fields__ if name in known})
        return status if status.state in STATES and math.isfinite(status.age()) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def now() -> str:
    """The time of the clock in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _begun(command: str) -> Status:
    place = launched()
    return Status(
        command,
        started=now(),
        slurm_job_id=slurm_job(),
        world=1 if place is None else place.world,
        host=socket.gethostname(),
        pid=os.getpid(),
    )
