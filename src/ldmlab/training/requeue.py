"""A job of SLURM that a signal has stopped is queued again, unless it was cancelled, and goes on in its own folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ldmlab.ranks import launched, slurm_job
from ldmlab.status import tell, tell_afterwards
from ldmlab.training.signals import SLURMS, STOP, Stopped

PATIENCE = 120.0
"""Seconds to stay after what is saved is saved: a process that leaves before SLURM ends it ends its job for good."""
Fate = Literal["running", "ended", "queued"]


@dataclass(frozen=True)
class SlurmJob:
    """The job that this process belongs to.

    Attributes:
        name: as scontrol knows it, `ID` or `ARRAY_TASK`: the number of an array's last task is that of the whole array.
        restarts: how often it was queued again before this start.
        rank: of this process among the tasks of the job.
    """

    name: str
    restarts: int = 0
    rank: int = 0

    @classmethod
    def current(cls) -> SlurmJob | None:
        """That of this process; None outside of SLURM."""
        name, place = slurm_job(), launched()
        restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        return None if name is None else cls(name, restarts, 0 if place is None else place.rank)

    def go_on_later(self) -> str | None:
        """Have the job queued again, and stay until SLURM ends this process.

        To be called when all is saved and closed, by every rank; the first one asks. It comes back where there is
        nothing to wait for: the job is cancelled, is queued already, or cannot be.

        Returns:
            Why it is not queued again, where that is for the user to mend.
        """
        STOP.ignore()  # what is being answered
        fate = self.fate()
        if fate == "queued":
            tell_afterwards(state="requeued")
        if fate == "queued" or (fate == "ended" and not self._over_time()):
            return None
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # with which SLURM ends it, and nothing is left to be done
        tell_afterwards(state="requeued")  # while this process is still there
        refused = self._requeue() if self.rank == 0 else None
        if refused is not None:
            tell_afterwards(state="stopped")
        if refused is None or shutil.which("scontrol") is None:  # as in a container, where SLURM may do it by itself
            time.sleep(PATIENCE)
        return refused

    def end_step(self) -> None:
        """End all tasks that srun started with this one, wherever they wait, and this one with them."""
        step = os.environ.get("SLURM_STEP_ID", "")
        if step.isdecimal():
            _run("scancel", "--signal=KILL", f"{self.name}.{step}")

    def goes_on(self) -> bool:
        """Whether it is not over for good: not cancelled, but queued again already, or to be."""
        return self.fate() != "ended" or self._over_time()

    def fate(self) -> Fate:
        """What SLURM is about to do with the job; its state is COMPLETING whether it was cancelled or queued again."""
        shown = self._shown()
        if shown and int(shown.get("Restarts", 0)) > self.restarts:
            return "queued"
        return "running" if shown.get("JobState", "RUNNING") in ("RUNNING", "SUSPENDED") else "ended"

    def _over_time(self) -> bool:
        return self._shown().get("Reason") == "TimeLimit"

    def _shown(self) -> dict[str, str]:
        return dict(re.findall(r"(\w+)=(\S*)", _run("scontrol", "show", "job", "-o", self.name)[1]))

    def _requeue(self) -> str | None:
        code, said = _run("scontrol", "requeue", self.name)
        return None if code == 0 else f"SLURM does not queue job {self.name} again: {said or 'scontrol failed'}"


@contextmanager
def telling_of_requeue() -> Iterator[None]:
    """Tell in the status of a run that a signal stops inside the block if its job goes on later."""
    try:
        yield
    except Stopped as stop:
        job = SlurmJob.current() if stop.number in SLURMS else None
        if job is not None and job.rank == 0 and job.goes_on():
            tell(state="requeued", left=None)
        raise


def _run(*words: str) -> tuple[int, str]:
    """The exit code of one of SLURM's programs, and what it says."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, f"{words[0]}: {error}"
    return done.returncode, (done.stdout or done.stderr).strip()
