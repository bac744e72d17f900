"""What loggers learn of a run beside its figures: settings, the code that it is computed by, and what it leaves."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L

from ldmlab.atomic import atomic_file
from ldmlab.metrics.manifest import git_commit, package_versions
from ldmlab.training.dev_run import is_dev_run

DIFF = "code.diff"
LARGEST = 2**20
"""Bytes of a diff that is kept."""


def begin_record(trainer: L.Trainer, folder: Path, settings: Mapping[str, Any]) -> None:
    """Tell all loggers of a run, from its first rank, the settings, the commit, and the versions of packages.

    What differs from the commit is `code.diff` in the folder, which loggers that keep files get as well.
    """
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        logger.log_hyperparams({**settings, "commit": git_commit(), "versions": package_versions()})
    diff = None if is_dev_run(trainer) or not trainer.loggers else write_diff(folder)
    for logger in trainer.loggers:
        if diff is not None and (keep := getattr(logger, "keep", None)):
            keep(diff)


def end_record(trainer: L.Trainer, folder: Path) -> None:
    """Let loggers that keep artifacts keep what the run has left."""
    for logger in trainer.loggers:
        if keep := getattr(logger, "keep_artifacts", None):
            keep(folder)


def write_diff(folder: Path) -> Path | None:
    """Write what differs from the commit that ldmlab runs from into a folder; that of an earlier start is replaced.

    Returns:
        The file; None where nothing differs, nothing is known of it, or it is too large to keep.
    """
    path, diff = folder / DIFF, _diff()
    path.unlink(missing_ok=True)
    if not 0 < len(diff) <= LARGEST:
        return None
    with atomic_file(path) as file:
        file.write(diff)
    return path


def _diff() -> bytes:
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return b""
    command = ["git", "-C", str(root), "diff", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
