"""`ldmlab submit` and the launchers in a real SLURM."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Cluster, wait_until

ON_CPU = ("cluster.gpus_per_task=0", "cluster.cpus_per_task=1", "cluster.time=00:10:00")
SAMPLE = ("sample", "n=1", "sampler.steps=2")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path) -> Run:
    """(words...) -> how `ldmlab WORDS...` ended, in a temporary folder on the login node."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ldmlab", *words]
        where = {"cwd": tmp_path, "env": cluster.environment}
        return subprocess.run(command, **where, capture_output=True, text=True, timeout=300, check=False)

    return run


def state_of(folder: Path) -> dict[str, object]:
    """What a run says of itself."""
    path = folder / "status.json"
    return json.loads(path.read_text()) if path.is_file() else {"state": None, "step": 0}


def queued(cluster: Cluster) -> list[str]:
    return cluster.ask("squeue", "-h", "-r", "-o", "%i").split()


def test_a_hundred_jobs_are_in_the_queue_before_one_has_run(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    begun = time.monotonic()
    done = run("submit", "--array", "at_once=2", *ON_CPU, *SAMPLE, "-m", "seed=range(100)", "output_dir=out")
    assert time.monotonic() - begun < 5
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 101
    array = lines[0].partition("_")[0]
    assert lines[99] == f"{array}_99  out/99  log: out/slurm/{array}_99_0_log.out"
    assert not [*tmp_path.glob("out/*/status.json")]
    assert len(queued(cluster)) == 100
    again = run("submit", *ON_CPU, *SAMPLE, "-m", "seed=range(100)", "output_dir=out")
    assert re.search(r"^ldmlab: output_dir=\S+: its jobs .* are in the queue or running", again.stderr)
    cluster.ask("scancel", array)
    wait_until(lambda: not queued(cluster), 60, "jobs are still in the queue")


def test_a_partition_that_is_not_there_is_one_line(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    done = run("submit", "cluster.partition=nope", *ON_CPU, *SAMPLE, "output_dir=out")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"ldmlab: cluster\.partition=nope: SLURM refuses it \(.*\); there is debug, high\n", done.stderr
    )
    assert not [*tmp_path.iterdir()]


def test_the_launcher_waits_and_a_killed_job_leaves_the_others_alone(cluster: Cluster, tmp_path: Path) -> None:
    words = ("sample", "-m", "hydra/launcher=slurm", *ON_CPU, "sampler.steps=2", "output_dir=out")
    command = [sys.executable, "-m", "ldmlab", *words, "seed=0,1", "n=4000,1"]
    with subprocess.Popen(command, cwd=tmp_path, env=cluster.environment, stderr=subprocess.PIPE, text=True) as waiting:
        wait_until(lambda: state_of(tmp_path / "out/0")["state"] == "running", 100, "job 0 does not run")
        os.kill(int(str(state_of(tmp_path / "out/0")["pid"])), signal.SIGKILL)
        wait_until(lambda: state_of(tmp_path / "out/2")["state"] == "running", 100, "job 2 does not run")
        cluster.ask("scancel", str(state_of(tmp_path / "out/2")["slurm_job_id"]))
        _, err = waiting.communicate(timeout=200)
    assert waiting.returncode == 1, err
    assert re.search(r"^ldmlab: 2 of 4 jobs are not done: 0 \(died\), 2 \((stopped|waiting)\); ", err, re.MULTILINE)
    assert [state_of(tmp_path / f"out/{job}")["state"] for job in (1, 3)] == ["done", "done"]


def test_hydras_submitit_launcher(run: Run, tmp_path: Path) -> None:
    words = ["-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=2", "hydra.launcher.partition=debug"]
    done = run(*SAMPLE, *words, "seed=0,1", "output_dir=out")
    assert done.returncode == 0, done.stderr
    assert [state_of(tmp_path / f"out/{job}")["state"] for job in (0, 1)] == ["done", "done"]
    again = run(*SAMPLE, *words, "seed=0,1,-2", "output_dir=out")
    assert again.stderr == "ldmlab: seed=-2: input should be greater than or equal to 0\n"


@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (1, 2)])
def test_a_submitted_training_goes_on_when_it_is_queued_again(
    devices: int, nodes: int, run: Run, cluster: Cluster, shards: Path, tiny: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    words = ["train", *tiny["autoencoder"], f"data.path={shards}", "output_dir=out", "compile=false", "grid_every=1000"]
    words += ["trainer.max_steps=60", "trainer.val_check_interval=30", f"trainer.devices={devices}"]
    done = run("submit", *ON_CPU, *words, f"trainer.num_nodes={nodes}")
    assert done.returncode == 0, done.stderr
    job, folder = done.stdout.split()[0], tmp_path / "out"
    wait_until(lambda: (folder / "metrics.csv").is_file(), 120, "training does not begin")
    cluster.ask("scontrol", "requeue", job)
    assert cluster.wait(job, timeout=240) == "COMPLETED"
    status = state_of(folder)
    assert (status["state"], status["step"], status["world"]) == ("done", 60, devices * nodes)
    assert (folder / "model.safetensors").is_file()
    shown = run("jobs", "out", "all=true").stdout
    assert re.search(rf"│ {job} +│ out +│ done +│ 60/60 +│", shown)
