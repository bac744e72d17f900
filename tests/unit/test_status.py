from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from ldmlab.pace import Pace
from ldmlab.progress import track
from ldmlab.status import (
    NAME,
    Status,
    read_status,
    tell,
    tell_afterwards,
    tell_of_progress,
    telling,
    told_by_others,
    told_figure,
)


def explain(error: BaseException) -> str:
    return f"said: {error}"


def test_a_run_is_running_and_then_done(tmp_path: Path) -> None:
    with telling(tmp_path, "train", explain):
        begun = read_status(tmp_path)
        tell(step=3, steps=10, figure=told_figure("val/loss", 0.5))
        assert read_status(tmp_path).step == 3
    status = read_status(tmp_path)
    assert (begun.state, begun.command, begun.world, begun.pid) == ("running", "train", 1, os.getpid())
    assert (status.state, status.figure, status.left) == ("done", {"name": "val/loss", "value": 0.5}, None)
    assert 0 <= status.age() < 60
    assert status.started == begun.started < status.updated


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [(ValueError("no"), "failed", "said: no"), (KeyboardInterrupt(), "stopped", None)],
)
def test_how_a_run_ended(error: BaseException, state: str, said: str | None, tmp_path: Path) -> None:
    with pytest.raises(type(error)), telling(tmp_path, "train", explain):
        raise error
    status = read_status(tmp_path)
    assert (status.state, status.error) == (state, said)


def test_what_was_requeued_stays_so(tmp_path: Path) -> None:
    def requeue() -> None:
        with telling(tmp_path, "train", explain):
            tell(state="requeued")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        requeue()
    assert read_status(tmp_path).state == "requeued"


def test_progress_is_told_but_for_that_beside_training(tmp_path: Path) -> None:
    with telling(tmp_path, "sample", explain):
        list(track(range(4), "sampling"))
        tell()
        status = read_status(tmp_path)
        assert (status.doing, status.step, status.steps) == ("sampling", 4, 4)
        tell(doing="training", step=1)
        tell_of_progress("sampling", Pace(9, 9))
        tell()
        assert (read_status(tmp_path).doing, read_status(tmp_path).step) == ("training", 1)


def test_progress_writes_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(Status, "write", lambda self, folder: written.append(self.step))
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with telling(tmp_path, "sample", explain):
        for step in range(100):
            clock[0] += 0.25
            tell(at_once=False, step=step)
    assert written == [0, 39, 79, 99]


def test_a_full_disk_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Status, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Status, "write", fail)
    with telling(tmp_path, "train", explain):
        tell(step=1)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / NAME} cannot be written (No space left on device), and the run goes on"
    ]


def test_figures_that_are_not_finite_are_json(tmp_path: Path) -> None:
    with telling(tmp_path, "evaluate", explain):
        tell(figure=told_figure("fid", float("inf")))
    assert json.loads((tmp_path / NAME).read_text(), parse_constant=pytest.fail)["figure"]["value"] is None
    assert told_figure(None, 1.0) is None
    assert told_figure("fid", None) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"command": "a", "state": "x"}', '{"command": "a", "updated": 3}'])
def test_what_cannot_be_read_is_none(text: str, tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / NAME).write_text(text)
    assert read_status(tmp_path) is None


def test_slurm_names_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "9", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with telling(tmp_path, "train", explain):
        pass
    assert read_status(tmp_path).slurm_job_id == "7_2"


def test_what_is_known_afterwards_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), telling(tmp_path, "train", explain):
        raise KeyboardInterrupt
    tell_afterwards(state="requeued")
    assert read_status(tmp_path).state == "requeued"


@pytest.mark.parametrize(("state", "told"), [("running", "failed"), ("done", "done"), (None, "failed")])
def test_ranks_that_were_killed_are_told_of(state: str | None, told: str, tmp_path: Path) -> None:
    if state is not None:
        Status("train", state, step=7).write(tmp_path)
    with pytest.raises(ValueError, match="killed"), told_by_others(tmp_path, "train", explain):
        raise ValueError("killed")
    status = read_status(tmp_path)
    assert (status.state, status.step) == (told, 7 if state else 0)
