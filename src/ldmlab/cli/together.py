"""Tasks that srun has started end together: it would let the others wait for one that has failed."""

from __future__ import annotations

import sys
import time

from ldmlab.ranks import launched
from ldmlab.training.requeue import SlurmJob

FIRST = 3.0
"""Seconds that the first of them has to tell, and to end all, before another one tells what may be the same."""


def let_the_first_tell() -> None:
    """To be called before an error is told: all tasks find the same mistake in a config."""
    place = launched()
    if place is not None and place.by == "srun" and place.rank > 0:
        time.sleep(FIRST)


def end_together() -> None:
    """To be called when an error is told, and all that is this task's own is closed; it ends this process, too."""
    place, job = launched(), SlurmJob.current()
    if place is not None and place.by == "srun" and place.world > 1 and job is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        job.end_step()
