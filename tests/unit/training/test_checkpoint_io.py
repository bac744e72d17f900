from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.models.checkpoints import read_lightning
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.checkpoint_io import AtomicCheckpointIO, BackgroundCheckpointIO
from ldmlab.training.signals import Stopped


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Writing in the background waits until this is set."""
    event, write = threading.Event(), AtomicCheckpointIO.save_checkpoint

    def late(self: Any, *words: Any) -> None:
        assert event.wait(20)
        write(self, *words)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", late)
    return event


def test_what_is_written_is_what_was_there_when_it_began(held: threading.Event, tmp_path: Path) -> None:
    files, weight = BackgroundCheckpointIO(), torch.zeros(3)
    files.save_checkpoint({"state": {"weight": weight}, "step": 4}, tmp_path / "last.ckpt")
    weight.fill_(7)  # training goes on
    assert not (tmp_path / "last.ckpt").exists()
    held.set()
    read = files.load_checkpoint(tmp_path / "last.ckpt")
    assert read["step"] == 4
    assert torch.equal(read["state"]["weight"], torch.zeros(3))


def test_one_is_written_at_a_time_and_the_one_before_stays(held: threading.Event, tmp_path: Path) -> None:
    files = BackgroundCheckpointIO()
    held.set()
    for step in range(3):
        files.save_checkpoint({"step": step}, tmp_path / "last.ckpt")
    files.teardown()
    assert [read_lightning(tmp_path / f"{name}.ckpt")["step"] for name in ("previous", "last")] == [1, 2]


@pytest.mark.parametrize("then", ["save", "teardown"])
def test_trouble_in_the_background_ends_the_run(full_disk: Callable[..., Any], tmp_path: Path, then: str) -> None:
    files = BackgroundCheckpointIO()
    files.save_checkpoint({"x": torch.zeros(3)}, tmp_path / "last.ckpt")
    files.teardown()
    with full_disk(4096), pytest.raises((OSError, RuntimeError)):  # noqa: PT012
        files.save_checkpoint({"x": torch.randn(10**4)}, tmp_path / "last.ckpt")
        files.teardown() if then == "teardown" else files.save_checkpoint({}, tmp_path / "other.ckpt")
    assert torch.equal(files.load_checkpoint(tmp_path / "last.ckpt")["x"], torch.zeros(3))


def test_a_run_that_is_stopped_waits_for_its_checkpoint(
    diffusion_training: Callable[..., Any], batches: Callable[..., Any], fit: Callable[..., L.Trainer], tmp_path: Path
) -> None:
    path, steps = tmp_path / "last.ckpt", []

    class Watch(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            steps.append(path.exists())

    last = LastCheckpoint(100, path, lambda: Stopped(15) if steps else None)
    settings = {"plugins": [BackgroundCheckpointIO()], "enable_checkpointing": True}
    callbacks = [Watch(), last]
    with pytest.raises(Stopped):
        fit(diffusion_training(), batches(3), callbacks, **settings)
    assert steps == [False]
    assert read_lightning(path)["global_step"] == 1
