"""Hydra's way to the jobs of SLURM: `hydra/launcher=slurm`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Queues the jobs of a sweep, and waits for them. Each runs as `ldmlab COMMAND` would, and not Hydra's function.

    Hydra takes launchers from the package `hydra_plugins` alone.

    Args:
        cluster: a `ldmlab.cli.cluster.Cluster`.
        at_once: jobs that may run at a time.
    """

    def __init__(self, cluster: Any, at_once: int = 16) -> None:
        self.cluster, self.at_once = cluster, at_once
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take the config of the sweep."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Queue, and wait.

        Args:
            job_overrides: of each job.
            initial_job_idx: the number of the first of them in the sweep.
        """
        from ldmlab.cli.slurm_sweep import run_in_slurm

        assert self.config is not None
        return run_in_slurm(self.config, job_overrides, initial_job_idx, self.cluster, self.at_once)
