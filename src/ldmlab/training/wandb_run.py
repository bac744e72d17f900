"""A W&B run that belongs to its folder."""

from __future__ import annotations

import hashlib
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ldmlab.metrics.scenes.confusion import Confusion
from ldmlab.training.signals import Stopped

KEPT: Mapping[str, tuple[str, ...]] = {
    "model": ("model.safetensors", "adapter.safetensors"),
    "checkpoint": ("last.ckpt",),
    "metrics": ("metrics.csv",),
}
"""What may be kept as an artifact, and the files in a run's folder that it is."""
MODES = {"disabled": "disabled"}
"""Of W&B, that the environment may ask for where a run is to be offline; said anew, since W&B reads it but once."""


class FolderLogger(WandbLogger):
    """Logs one run, whose files are in one folder.

    W&B's own `_step` is the trainer's: counted by W&B, that of a resumed offline run would begin at 0 again. Settings
    are flat, as `optimizer/lr`, so that runs can be filtered and grouped by each.

    Args:
        artifacts: what to keep at the end, see `KEPT`.
        settings: of Lightning's logger.
    """

    def __init__(self, artifacts: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(**settings)
        self.artifacts = tuple(artifacts)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row; what is logged at one step is one row."""
        row = dict(metrics) if step is None else {**metrics, "trainer/global_step": step}
        self.experiment.log(row, step=step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Put settings into the config of the run."""
        self.note(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def note(self, facts: Mapping[str, Any]) -> None:
        """Put what is true of the whole run into its config."""
        self.experiment.config.update(flat(facts), allow_val_change=True)

    @rank_zero_only
    def log_confusion(self, name: str, matrix: Confusion, step: int) -> None:
        """Log a confusion matrix as a chart of W&B's own, with its table."""
        import wandb

        rows = [
            [asked, seen, count]
            for asked, counts in zip(matrix.asked, matrix.counts, strict=True)
            for seen, count in zip(matrix.seen, counts, strict=True)
        ]
        columns: list[str | int] = ["Actual", "Predicted", "nPredictions"]  # the names that the chart reads
        table = wandb.Table(columns=columns, data=rows)
        chart = wandb.plot_table("wandb/confusion_matrix/v1", table, {str(c): c for c in columns}, {"title": name})
        self.log_metrics({name: chart}, step)  # type: ignore[dict-item]

    @rank_zero_only
    def keep(self, path: Path) -> None:
        """Keep a small file of the folder among those of the run."""
        self.experiment.save(path, base_path=path.parent, policy="now")

    @rank_zero_only
    def keep_artifacts(self, folder: Path) -> None:
        """Keep what is asked for, as artifacts that are called after the run."""
        import wandb

        for kind in self.artifacts:
            files = [folder / name for name in KEPT[kind] if (folder / name).is_file()]
            if files:
                artifact = wandb.Artifact(f"{kind}-{self.version}", type=kind)
                for file in files:
                    artifact.add_file(str(file), policy="immutable")
                self.experiment.log_artifact(artifact, aliases=["latest"])


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under names as `optimizer/lr`: W&B takes a dot in a name for nesting of its own. Lists stay."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = value
    return found


def wandb_logger(
    folder: str,
    project: str = "ldmlab",
    group: str | None = None,
    name: str | None = None,
    offline: bool = True,
    job_type: str | None = "train",
    tags: Sequence[str] = (),
    notes: str | None = None,
    entity: str | None = None,
    artifacts: Sequence[str] = (),
) -> FolderLogger:
    """A logger whose run id follows from the output folder, so that a resumed or requeued job goes on in its own run.

    Args:
        folder: the run's output folder; the offline run is written into it.
        project: of W&B.
        group: runs shown together; the folder's parent if not given, which a sweep's jobs share.
        name: shown for the run; the folder's own name if not given.
        offline: write to disk only; `wandb sync` uploads later.
        job_type: what the run does, to tell runs of a group apart.
        tags: to find the run by.
        notes: shown beside the run.
        entity: the user or team; W&B's own default if not given.
        artifacts: what to keep as artifacts at the end: "model", "checkpoint", "metrics".

    Raises:
        ValueError: an artifact of no such name.
    """
    if unknown := [each for each in artifacts if each not in KEPT]:
        raise ValueError(f"logger.wandb.artifacts=[{unknown[0]}]: choose of {', '.join(KEPT)}")
    path = Path(folder).resolve()
    path.mkdir(parents=True, exist_ok=True)
    return FolderLogger(
        artifacts,
        **({"mode": MODES.get(os.environ.get("WANDB_MODE", ""), "offline")} if offline else {}),
        name=name or path.name,
        save_dir=path,
        offline=offline,
        id=hashlib.sha256(str(path).encode()).hexdigest()[:16],
        project=project,
        group=group or path.parent.name,
        job_type=job_type,
        tags=list(tags),
        notes=notes,
        entity=entity,
    )


@contextmanager
def wandb_finished() -> Iterator[None]:
    """End the W&B run, if there is one, on every way out: as failed after an error, as preempted after a signal."""
    exit_code, stopped = 1, False
    try:
        yield
        exit_code = 0
    except Stopped:
        stopped = True
        raise
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            if stopped:
                wandb.run.mark_preempting()
            wandb.finish(exit_code=exit_code)
