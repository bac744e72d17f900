"""Hydra's callback that looks at a config before it is run; conf/hydra/run/ brings it in."""

from __future__ import annotations

from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ldmlab.cli.refusal import Refusal
from ldmlab.cli.run import Run


class Guard(Callback):
    """Hands on to the run that `launch` has begun; without one, as where a program of the user's composes, to none."""

    def __init__(self) -> None:
        self.run = Run.current

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before Hydra makes the folder of a run."""
        if self.run is not None:
            self.run.begin(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before a sweeper makes its jobs."""
        if self.run is not None:
            self.run.begin_sweep(config)

    def on_run_end(self, config: DictConfig, job_return: JobReturn | None = None, **kwargs: Any) -> None:
        """What a command raised goes on from here, so that Hydra has no line of its own for it."""
        if self.run is not None and self.run.failure is not None:
            raise Refusal(self.run.failure)
