"""How long training waits for data, from Lightning's own hooks around the loader."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch.profilers import Profiler

NEXT_BATCH = ".train_dataloader_next"
"""How the name of the action ends inside which training waits for its next batch."""


class DataWait(Profiler):
    """A profiler that passes everything on to another, and adds up the time inside the loader's `next`.

    With workers that load ahead this is the time for which they were too slow; without, all of the loading.

    Attributes:
        seconds: waited so far.

    Args:
        inner: the profiler that the user asked for.
    """

    def __init__(self, inner: Profiler) -> None:
        super().__init__()
        self.inner = inner
        self.seconds = 0.0
        self._since = 0.0

    def start(self, action_name: str) -> None:
        """Begin an action, and note the time if it is the loader's `next`."""
        self.inner.start(action_name)
        if action_name.endswith(NEXT_BATCH):
            self._since = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """End an action, and add up the time if it was the loader's `next`."""
        if action_name.endswith(NEXT_BATCH):
            self.seconds += time.perf_counter() - self._since
        self.inner.stop(action_name)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Prepare the other profiler for a stage."""
        self.inner.setup(stage, local_rank, log_dir)

    def teardown(self, stage: str | None) -> None:
        """Let the other profiler end a stage."""
        self.inner.teardown(stage)

    def summary(self) -> str:
        """The summary of the other profiler."""
        return self.inner.summary()

    def describe(self) -> None:
        """Let the other profiler write its summary."""
        self.inner.describe()

    def __getattr__(self, name: str) -> Any:
        """What else Lightning reads of a profiler."""
        return getattr(self.inner, name)
