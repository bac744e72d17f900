"""Pictures that are there are not drawn again by a job that goes on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from ..conftest import must_run
from .cluster import Cluster, wait_until
from .runs import ALONE, TWO_NODES, Kind

COUNT = 400


@pytest.mark.parametrize("kind", [ALONE, TWO_NODES], ids=lambda kind: kind.name)
def test_drawing_goes_on(kind: Kind, dit: Path, cluster: Cluster, tmp_path: Path) -> None:
    words = ["sample", f"ckpt={dit / 'model.safetensors'}", f"n={COUNT}", "prompts=[a red star]"]
    words += ["batch_size=4", "sampler.steps=20", "device=cpu"]
    folder, whole = tmp_path / "parted", tmp_path / "whole"
    command = shlex.join([sys.executable, "-m", "ldmlab", *words, f"output_dir={folder}"])
    job = cluster.submit(f"exec {kind.srun}{command}", *kind.options, name=f"sample-{kind.name}")
    wait_until(lambda: len(pictures(folder)) > 40, 120, "no pictures")
    cluster.ask("scancel", "--signal=USR1", *([] if kind.srun else ["--batch"]), job)
    wait_until(lambda: cluster.job(job)["Restarts"] == "1", 60, "it is not queued again")
    before = {name: (folder / name).stat().st_mtime_ns for name in pictures(folder)}
    assert cluster.wait(job) == "COMPLETED", cluster.output(job)
    must_run(*words, f"output_dir={whole}")
    assert pictures(folder) == pictures(whole)
    assert len(before) < COUNT
    kept = [name for name, time in before.items() if (folder / name).stat().st_mtime_ns == time]
    assert len(kept) >= len(before) - 2  # the sheets are made anew


def pictures(folder: Path) -> dict[str, bytes]:
    """By name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}
