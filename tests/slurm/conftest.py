"""A SLURM for all tests of this folder, and trainings in it.

| fixture | what it is |
| --- | --- |
| `cluster` | a `Cluster` of three nodes; `SLURMCTLD_PORT` (16817) and the three ports after it are its own |
| `training` | (name, kind, words...) -> a `Job` of 60 steps on `shards`, which is not in the queue yet |
| `whole` | (kind) -> such a job that nothing happened to |
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, missing
from .runs import EVERY, STEPS, VALIDATION, Job, Kind

HERE, SOURCES = Path(__file__).parent, Path(__file__).parents[2] / "src"
Training = Callable[..., Job]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Sockets have short paths, so its folder is not pytest's."""
    if lacking := missing():
        pytest.fail(f"not installed: {', '.join(lacking)}; tests/slurm/install.sh installs them", pytrace=False)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder), int(os.environ.get("SLURMCTLD_PORT", "16817")))
        cluster.environment |= {"PYTHONPATH": f"{SOURCES}:{HERE}", "OMP_NUM_THREADS": "1"}
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def training(
    cluster: Cluster, shards: Path, tiny: dict[str, tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> Training:
    """Trains autoencoders, as they are the quickest to start."""
    root = tmp_path_factory.mktemp("slurm")

    def job(name: str, kind: Kind, *more: str) -> Job:
        folder = root / f"{name}-{kind.name}"
        words = ["train", *tiny["autoencoder"], f"data.path={shards}", f"output_dir={folder}", "ckpt_path=auto"]
        words += [f"trainer.max_steps={STEPS}", f"trainer.val_check_interval={VALIDATION}", "grid_every=1000"]
        words += [f"checkpoint_every={EVERY}", "compile=false", "+callbacks.seen._target_=seen.Seen", *more]
        return Job(cluster, kind, folder, tuple(words))

    return job


@pytest.fixture(scope="session")
def whole(training: Training) -> Callable[[Kind], Job]:
    """One job a kind."""
    found: dict[str, Job] = {}

    def job(kind: Kind) -> Job:
        if kind.name not in found:
            found[kind.name] = training("whole", kind).submit().end()
        return found[kind.name]

    return job
