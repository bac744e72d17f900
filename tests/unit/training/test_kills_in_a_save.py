"""Twenty kills within the saving of a checkpoint, where temporary files would go to another file system."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ldmlab.models.checkpoints import CHECKPOINT, PREVIOUS, read_lightning
from ldmlab.training.checkpoint_io import AtomicCheckpointIO

KILLS = 20
NUMBERS = 2 * 10**7
"""Of four bytes each."""
PATIENCE = 60
"""Seconds."""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a file system of its own."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("needs /dev/shm, a file system in memory")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def saving(files: TorchCheckpointIO, path: Path, temporary: Path, step: int) -> int:
    """A process that goes on from a checkpoint, if there is one, and saves one step after the other without end."""
    child = os.fork()
    if child:
        return child
    try:
        tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
        if path.exists():
            files.load_checkpoint(path)
        while True:
            step += 1
            files.save_checkpoint({"step": step, "x": torch.full((NUMBERS,), float(step))}, path)
    finally:
        os._exit(1)


def temporary_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(f".{CHECKPOINT}.*.tmp")}


def whole(path: Path) -> int:
    """The step of a checkpoint, all of whose numbers are that step's."""
    content = read_lightning(path)
    assert bool((content["x"] == content["step"]).all())
    return int(content["step"])


@pytest.mark.slow
def test_no_checkpoint_is_broken(memory: Path, tmp_path: Path) -> None:
    path, rng, kills, step = tmp_path / CHECKPOINT, random.Random(0), 0, 0
    while kills < KILLS:
        before = temporary_files(tmp_path)
        child, deadline = saving(AtomicCheckpointIO(), path, memory, step), time.monotonic() + PATIENCE
        while not temporary_files(tmp_path) - before:  # it saves
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.5))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        kills += bool(temporary_files(tmp_path) - before)  # in the middle: it has left what it wrote
        if path.exists():
            newest = whole(path)
            assert newest >= step
            step = newest
        if (previous := tmp_path / PREVIOUS).exists():
            assert whole(previous) in (step - 1, step)
    assert step > 2
    assert not list(memory.iterdir())
