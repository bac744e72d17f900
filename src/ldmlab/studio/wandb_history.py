"""The curves of a run that W&B logged offline, in one piece for each start of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmlab.studio.wandb_file import WandbFile, read_wandb_file

STEP = "trainer/global_step"


@dataclass(frozen=True)
class WandbHistory:
    """One run, whatever it was restarted.

    Attributes:
        run_id: of W&B, that of all pieces.
        project: of the run.
        group: of the run, which a sweep's runs share.
        job_type: of the run.
        config: the settings, flat, as `optimizer/lr`, those of the last start.
        rows: what was logged, a dict a step, by rising `trainer/global_step`; what a later start did again is its own.
        files: the pieces, the first start first.
    """

    run_id: str
    project: str
    group: str
    job_type: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    files: Sequence[Path]

    def curve(self, name: str) -> list[tuple[int, float]]:
        """The steps at which a figure was logged, each with its value."""
        return [(row[STEP], row[name]) for row in self.rows if isinstance(row.get(name), int | float)]


def history(folder: Path) -> WandbHistory | None:
    """Read what W&B has logged into the folder of a run.

    Args:
        folder: of the run, in which there is `wandb/`.

    Returns:
        The run; None where W&B has logged nothing there.

    Raises:
        ValueError: a file that is none of W&B's.
    """
    paths = sorted(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.parent.name.partition("run-")[2])
    pieces = [(path, read_wandb_file(path)) for path in paths if path.stat().st_size]
    told = [piece for _, piece in pieces if piece.run_id]
    if not told:
        return None
    last = told[-1]
    own = [(path, piece) for path, piece in pieces if piece.run_id == last.run_id]
    rows = merged(piece for _, piece in own)
    files = [path for path, _ in own]
    return WandbHistory(last.run_id, last.project, last.group, last.job_type, last.config, rows, files)


def merged(pieces: Iterable[WandbFile]) -> list[dict[str, Any]]:
    """The rows of pieces as one run: from its first step on a later piece takes the place of earlier ones.

    Rows of one step become one, and a start may log (a validation that was due) at the last step of the one before it.
    """
    rows: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        steps = [row[STEP] for row in piece.rows if STEP in row]
        begin = min(steps, default=None)
        rows = {step: row for step, row in rows.items() if begin is None or step <= begin}
        for row in piece.rows:
            if STEP in row:
                rows[row[STEP]] = rows.get(row[STEP], {}) | row
    return [rows[step] for step in sorted(rows)]
