"""`ldmlab` as a program that notes what it is doing, for tests that kill it: `python phases.py NOTE train ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("index", "latents", "steps", "validation", "checkpoint", "export")
WIDTH = 16
"""Bytes of a note, which is written whole."""


def methods() -> list[tuple[type, str]]:
    """Those of `NAMES`, in their order."""
    from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop

    from ldmlab.data.datamodule import ShardDataModule
    from ldmlab.data.index.shard_index import ShardIndex
    from ldmlab.training.checkpoint_io import AtomicCheckpointIO
    from ldmlab.training.export import Export
    from ldmlab.training.latent_diffusion import LatentDiffusionTraining

    index, latents, step = (
        (ShardIndex, "build"),
        (ShardDataModule, "use_latents"),
        (LatentDiffusionTraining, "training_step"),
    )
    return [index, latents, step, (_EvaluationLoop, "run"), (AtomicCheckpointIO, "save_checkpoint"), (Export, "write")]


def note_phases(path: Path) -> None:
    """Let a file say which phase this process is in, "between" before and after all of them."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    within = ["between"]

    def note() -> None:
        os.pwrite(file, within[-1].ljust(WIDTH).encode(), 0)

    def noting(phase: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            within.append(phase)
            note()
            try:
                return original(*args, **kwargs)
            finally:
                within.pop()
                note()

        return run

    note()
    for phase, (owner, name) in zip(NAMES, methods(), strict=True):
        own = vars(owner)[name]
        method = classmethod(noting(phase, own.__func__)) if isinstance(own, classmethod) else noting(phase, own)
        setattr(owner, name, method)


def phase_in(path: Path) -> str | None:
    """What a file of `note_phases` says; None before there is one."""
    return (path.read_text().strip() or None) if path.exists() else None


if __name__ == "__main__":
    from ldmlab.cli.main import main

    note_phases(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
