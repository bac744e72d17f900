"""A run that is killed at moments that nobody chose, again and again, ends as one that never was."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.models.checkpoints import CHECKPOINT, read_lightning
from ldmlab.training.export import MODEL
from ldmlab.worlds.shapes.dataset import ShapesSource

from ..tiny import SIZE
from . import phases
from .phases import phase_in

KILLS = 20
CHOSEN = ("index", "latents", "latents", "validation", "checkpoint", "steps", "export")
"""Phases that are hit on purpose, in the order in which a run comes to them; the other kills come where they come."""
PATIENCE = 120
"""Seconds."""


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(("images_per_second", "cost/"))} for row in found]


def wait_for_steps(folder: Path, count: int) -> None:
    """Wait until a run that has just been started has logged so many steps."""
    table, deadline = folder / "metrics.csv", time.monotonic() + PATIENCE
    before = time_of(table)
    while time_of(table) == before:  # it takes back what came after its checkpoint, and logs its first step
        assert time.monotonic() < deadline
        time.sleep(0.02)
    there = len(rows(folder))
    while len(rows(folder)) < there + count - 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def time_of(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def require_same_ends(one: Path, other: Path) -> None:
    """All logged losses, as they are written, and the weights."""
    assert rows(one) == rows(other)
    assert (one / MODEL).read_bytes() == (other / MODEL).read_bytes()


def require_whole_checkpoint(folder: Path) -> None:
    """If there is one at all."""
    there = list(folder.glob("*.ckpt"))
    assert not there or any(read_lightning(path)["global_step"] for path in there)


def caches_of(data: Path) -> dict[str, bytes]:
    """The columns of the index, and the latents, by their paths: what is left over is among them, too."""
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*") if ".npy" in path.name}


class Victim:
    """A run in a process group of its own, which notes what it is doing."""

    def __init__(self, words: list[str], note: Path) -> None:
        note.unlink(missing_ok=True)
        self.note = note
        self.process = subprocess.Popen([sys.executable, phases.__file__, str(note), *words], start_new_session=True)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def comes_to(self, *wanted: str) -> bool:
        """Wait until it does one of these; False if it ends before."""
        deadline = time.monotonic() + PATIENCE
        while phase_in(self.note) not in wanted:
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"never came to {wanted}"
            time.sleep(0.0005)
        return True

    def kill_in(self, phase: str, after: float) -> bool:
        """Kill it within a phase, some seconds after it came to it; False where it has ended."""
        while self.comes_to(phase):
            time.sleep(after)
            if self.process.poll() is not None:
                return False
            self.signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if phase_in(self.note) == phase:
                self.end()
                return True
            self.signal(signal.SIGCONT)
            after /= 2
        return False

    def kill_after(self, seconds: float, alone: bool) -> str | None:
        """Kill it at a moment after it began to work; what it did then, None where it has ended.

        Args:
            seconds: to wait.
            alone: spare the processes that it has started, as a system that runs out of memory does.
        """
        self.comes_to(*phases.NAMES)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end(alone)
            return phase_in(self.note)
        return None

    def end(self, alone: bool = False) -> None:
        os.kill(self.process.pid, signal.SIGKILL) if alone else self.signal(signal.SIGKILL)
        assert self.process.wait(PATIENCE) == -signal.SIGKILL


@pytest.fixture(scope="session")
def many_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 training and 32 held-out scenes in shards of 16: an index and a cache of latents take a while."""
    folder = tmp_path_factory.mktemp("data")
    write_shards(ShapesSource(image_size=SIZE, train=480, heldout=32), folder, shard_size=16, progress=False)
    return folder


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(
    tiny: dict[str, tuple[str, ...]], autoencoder: Path, many_shards: Path, tmp_path: Path
) -> None:
    """In each phase on purpose, and at random; from nothing, with no index and no latents, to the end."""
    data, folders = tmp_path / "data", [tmp_path / "whole", tmp_path / "parted"]
    words = ["train", *tiny["dit"], f"data.path={data}", f"autoencoder_ckpt={autoencoder / MODEL}", "ckpt_path=auto"]
    words += ["trainer.max_steps=600", "checkpoint_every=7", "trainer.val_check_interval=10", "grid_every=100"]
    words += ["data.num_workers=1", "training.condition_dropout=0.2"]
    shutil.copytree(many_shards, data)
    subprocess.run([sys.executable, "-m", "ldmlab", *words, f"output_dir={folders[0]}"], check=True)
    caches = caches_of(data)
    assert len(caches) > 2
    shutil.rmtree(data)
    shutil.copytree(many_shards, data)  # the index and the latents are made anew
    words.append(f"output_dir={folders[1]}")
    rng, note, hit = random.Random(0), tmp_path / "note", Counter[str | None]()
    for phase in CHOSEN[:-1]:
        assert Victim(words, note).kill_in(phase, rng.uniform(0, 0.02)), f"ended before {phase}"
        require_whole_checkpoint(folders[1])
        hit[phase] += 1
    while hit.total() < KILLS - 1:
        victim = Victim(words, note)
        hit[victim.kill_after(rng.uniform(0, 3), alone=rng.random() < 0.5)] += 1
        assert not hit[None], f"ended after {hit.total()} kills: give it more steps"
        require_whole_checkpoint(folders[1])
    while not Victim(words, note).kill_in(CHOSEN[-1], 0):
        (folders[1] / MODEL).unlink()  # it was too quick
    hit[CHOSEN[-1]] += 1
    subprocess.run([sys.executable, "-m", "ldmlab", *words], check=True)
    print(f"{hit.total()} kills: {dict(hit)}")
    assert hit.total() == KILLS
    require_same_ends(*folders)
    assert caches_of(data) == caches


@pytest.mark.slow
def test_kills_and_requests_to_stop_leave_no_trace(
    tiny: dict[str, tuple[str, ...]], shards: Path, tmp_path: Path
) -> None:
    """SIGKILL and SIGTERM, of an autoencoder that is measured; each leaves a whole checkpoint, if there ever was one.

    The best checkpoint by a figure is that of a run that was never stopped, too.
    """
    words = [sys.executable, "-m", "ldmlab", "train", *tiny["autoencoder"], f"data.path={shards}", "ckpt_path=auto"]
    words += ["trainer.max_steps=80", "checkpoint_every=7", "trainer.val_check_interval=10", "grid_every=30"]
    words += ["data.num_workers=2", "callbacks=[default,evaluation,best]", "figure=eval/PSNR", "figure_mode=max"]
    words += ["metric@callbacks.evaluation.metrics=[psnr,ssim]", "callbacks.evaluation.every_n_steps=6"]
    rng, parted = random.Random(0), tmp_path / "parted"
    subprocess.run([*words, f"output_dir={tmp_path / 'whole'}"], check=True)
    for _ in range(6):
        process = subprocess.Popen([*words, f"output_dir={parted}"])
        wait_for_steps(parted, rng.randint(1, 20))
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        assert process.wait(PATIENCE) != 0
        require_whole_checkpoint(parted)
    assert (parted / CHECKPOINT).exists()
    subprocess.run([*words, f"output_dir={parted}"], check=True)
    require_same_ends(tmp_path / "whole", parted)
    assert all(row["eval/PSNR"] for row in rows(parted)[5::6])
    best = [[path.name for path in (folder / "best").iterdir()] for folder in (tmp_path / "whole", parted)]
    assert best[0] == best[1]
