"""`ldmlab evaluate` on several processes gives the figures of one, errors and notes too, however uneven the shares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ranks

METRICS = (
    *("frechet_distance", "spatial_frechet_distance", "inception_score", "kernel_distance", "precision_recall"),
    *("density_coverage", "diversity", "scene_accuracy"),
)
COUNT, BATCH = 13, 3
"""Five batches, the last of one picture."""
PATIENCE = 400


@pytest.fixture(scope="module")
def drawn(dit: Path, shards: Path) -> tuple[str, ...]:
    """What is measured of a model."""
    return f"ckpt={dit / 'model.safetensors'}", f"data.path={shards}", "sampler.steps=2"


@pytest.fixture(scope="module")
def given(drawn: tuple[str, ...], ldmlab: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of the model."""
    folder = tmp_path_factory.mktemp("drawn")
    words = ("evaluate", *drawn, f"n={COUNT}", "save_pictures=png", "reference_cache=false", f"output_dir={folder}")
    done = ldmlab(*words)
    assert done.code == 0, done.err
    return next(path for path in folder.iterdir() if path.is_dir() and [*path.glob("*.png")])


def words_of(folder: Path, *words: str) -> list[str]:
    chosen = f"metric=[{','.join(METRICS)}]"
    return [
        "evaluate",
        *words,
        chosen,
        f"batch_size={BATCH}",
        "reference_cache=false",
        "device=cpu",
        f"output_dir={folder}",
    ]


def told(folder: Path) -> dict[str, Any]:
    """What metrics.json says of figures, errors and notes."""
    record = json.loads((folder / "metrics.json").read_text())
    return {name: record[name] for name in ("metrics", "errors", "notes") if name in record}


@pytest.fixture(scope="module", params=["drawn", "given"])
def work(request: pytest.FixtureRequest, drawn: tuple[str, ...], shards: Path) -> tuple[str, ...]:
    """What is measured: what a model draws, or pictures that are given."""
    if request.param == "drawn":
        return *drawn, f"n={COUNT}"
    return f"pictures={request.getfixturevalue('given')}", f"data.path={shards}", f"n_reference={COUNT + 2}"


@pytest.fixture(scope="module")
def alone(
    work: tuple[str, ...], ldmlab: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What one process tells."""
    folder = tmp_path_factory.mktemp("alone")
    done = ldmlab(*words_of(folder, *work))
    assert done.code == 0, done.err
    return told(folder)


@pytest.mark.parametrize("devices", [2, 4])
def test_several_processes_tell_what_one_tells(
    devices: int, work: tuple[str, ...], alone: dict[str, Any], tmp_path: Path
) -> None:
    names = {name.partition("-")[0] for name in alone["metrics"]}
    assert names >= {"FID", "sFID", "IS", "KID", "precision", "recall", "density", "coverage", "diversity"}
    command = [sys.executable, "-m", "ldmlab", *words_of(tmp_path, *work), f"devices={devices}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert told(tmp_path) == alone
