"""`ldmlab dashboard`: a W&B workspace and a report of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command, Words
from ldmlab.configs.commands.dashboard import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Write the specifications, and upload them where that is wanted and can be."""
    from ldmlab.configs.login import why_offline
    from ldmlab.studio.dashboard import build_dashboard, write_specifications
    from ldmlab.studio.logged_runs import LoggedRuns

    folder = Path(cfg.folder)
    runs = LoggedRuns.read(folder)
    offline = "upload=false" if cfg.upload is False else why_offline()
    if offline is not None and cfg.upload is True:
        raise ValueError(f"upload=true: {offline}; leave it at auto to write the specifications alone")
    entity = cfg.entity or ("" if offline else _default_entity())
    name, project = cfg.name or folder.resolve().name, cfg.project or runs.first.project
    dashboard = build_dashboard(runs, cfg.figure, cfg.figure_mode == "min", name, entity, project)
    for path in write_specifications(dashboard, Path(cfg.output or folder / "dashboard")):
        print(f"specification: {path}")
    if offline is not None:
        print(f"not uploaded ({offline}): give the same command where there is a network, after `wandb sync`")
        return
    for url in dashboard.save():
        print(f"dashboard: {url}")


def _default_entity() -> str:
    import wandb

    return wandb.Api(timeout=20).default_entity or ""


COMMAND = Command(
    **vars(CHECKS),
    summary="make a W&B workspace and a report of a sweep",
    synopsis="ldmlab dashboard FOLDER [figure=NAME] [KEY=VALUE ...]",
    description=(
        "Reads what the runs in a folder have logged to W&B (logger=wandb), offline too, and makes a workspace with "
        "all curves, pictures and confusions in sections, and a report with a table of the results and how they follow "
        "from the settings that differ. Both are code of wandb-workspaces (pip install 'ldmlab[dashboard]').",
        "Their specifications are written as JSON in any case. Where there is no network, or no key for W&B, that is "
        "all, and the command says so.",
    ),
    examples=(
        ("ldmlab dashboard runs/sweep", "of a sweep, compared by val/loss"),
        ("ldmlab dashboard runs/sweep figure=eval/FID-lite0 entity=team", "by another figure, for a team"),
    ),
    words=Words("folder", "folder", several=False),
    run=run,
)
