"""What a job of SLURM asks for when a signal has stopped it, with a `scontrol` that writes down what it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ldmlab.status import read_status, telling
from ldmlab.training import requeue
from ldmlab.training.requeue import SlurmJob, telling_of_requeue
from ldmlab.training.signals import Stopped

SCONTROL = """#!/bin/sh
echo "$*" >> {folder}/asked
case $1 in show) cat {folder}/job;; requeue) exit {code};; esac
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a job that runs: `job` is what scontrol shows of it, `asked` what it was asked for."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(requeue, "PATIENCE", 0.0)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    answer(tmp_path, "JobState=RUNNING Reason=None Restarts=1")
    return tmp_path


def answer(folder: Path, shown: str, code: int = 0) -> None:
    """Let scontrol show this of the job, and end so when it is asked to queue it again."""
    (folder / "job").write_text(f"JobId=7 JobName=train {shown} Command=(null)\n")
    (folder / "scontrol").write_text(SCONTROL.format(folder=folder, code=code))
    (folder / "scontrol").chmod(0o700)


def requeues(folder: Path) -> list[str]:
    return [line for line in (folder / "asked").read_text().splitlines() if line.startswith("requeue")]


@pytest.mark.parametrize(
    ("shown", "asks"),
    [
        ("JobState=RUNNING Reason=None Restarts=1", True),  # a warning, or preemption with a time of grace
        ("JobState=COMPLETING Reason=TimeLimit Restarts=1", True),
        ("JobState=TIMEOUT Reason=TimeLimit Restarts=1", True),
        ("JobState=COMPLETING Reason=None Restarts=1", False),  # cancelled
        ("JobState=CANCELLED Reason=None Restarts=1", False),
        ("JobState=COMPLETING Reason=None Restarts=2", False),  # queued again by somebody else
        ("JobState=RUNNING Reason=None Restarts=2", False),
    ],
)
def test_a_job_is_queued_again_unless_slurm_ends_it(slurm: Path, shown: str, asks: bool) -> None:
    answer(slurm, shown)
    assert SlurmJob("7", restarts=1).go_on_later() is None
    assert requeues(slurm) == ["requeue 7"] * asks


def test_the_first_of_several_tasks_asks(slurm: Path) -> None:
    assert SlurmJob("7", restarts=1, rank=1).go_on_later() is None
    assert requeues(slurm) == []


def test_a_job_that_slurm_does_not_take_back_says_so(slurm: Path) -> None:
    answer(slurm, "JobState=RUNNING Restarts=1", code=1)
    assert "job 7" in (SlurmJob("7", restarts=1).go_on_later() or "")


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "8", "SLURM_RESTART_COUNT": "2"}, SlurmJob("8", 2)),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3"}, SlurmJob("5_3")),
        ({}, None),
    ],
)
def test_the_job_of_this_process(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], job: SlurmJob | None
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert SlurmJob.current() == job


@pytest.mark.parametrize(("shown", "state"), [("RUNNING", "requeued"), ("CANCELLED", "stopped")])
def test_the_status_tells_whether_the_job_goes_on(
    slurm: Path, monkeypatch: pytest.MonkeyPatch, shown: str, state: str
) -> None:
    answer(slurm, f"JobState={shown} Reason=None Restarts=0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(Stopped), telling(slurm, "train", str), telling_of_requeue():
        raise Stopped(signal.SIGTERM)
    status = read_status(slurm)
    assert status is not None
    assert status.state == state


def test_a_warning_while_a_command_begins_is_not_lost(slurm: Path) -> None:
    """It comes before there is anything to save, as while libraries are imported."""
    program = (
        "import os, signal, sys; from ldmlab.cli import main, launch;"
        "launch.launch = lambda name, words: os.kill(os.getpid(), signal.SIGUSR1);"
        "from ldmlab.training import requeue; requeue.PATIENCE = 0.0; sys.exit(main.main(['train']))"
    )
    here = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **here}, capture_output=True, text=True)
    assert (done.returncode, requeues(slurm)) == (128 + signal.SIGUSR1, ["requeue 7"])
    assert done.stderr == "ldmlab: stopped by SIGUSR1\n"


def test_a_warning_after_all_is_done_ends_nothing() -> None:
    program = (
        "import os, signal, sys; from ldmlab.cli import main, launch; launch.launch = lambda name, words: None;"
        "code = main.main(['train']); os.kill(os.getpid(), signal.SIGTERM); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "SLURM_JOB_ID": "7"})
    assert done.returncode == 0
