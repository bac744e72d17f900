"""A W&B workspace and a report of a sweep, or of one run, as code: by wandb-workspaces, from what was logged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmlab.confidence import ERROR, written
from ldmlab.studio.logged_runs import LoggedRuns
from ldmlab.studio.wandb_history import STEP

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Loss": ("train/loss", "val/loss", "train/loss_q", "val/loss_q", "train/", "val/"),
    "Optimisation": ("train/learning_rate", "train/gradient_norm"),
    "Evaluation": ("eval/accuracy", "eval/"),
    "Speed and memory": ("images_per_second", "cost/"),
}
"""Panels by section: names of figures, or what they begin with. A section shows each figure once."""
TOGETHER = ("train/loss_q", "val/loss_q", "eval/accuracy")
"""Figures that begin so share a panel."""
ELSEWHERE = {"Loss": SECTIONS["Optimisation"]}
"""Figures that a section leaves to others."""


@dataclass(frozen=True)
class Dashboard:
    """Objects of wandb-workspaces, which `save` uploads.

    Attributes:
        workspace: the project's panels for these runs.
        report: their results as a page.
    """

    workspace: ws.Workspace
    report: wr.Report

    def specifications(self) -> dict[str, str]:
        """What W&B would be sent, as JSON, by name."""
        models = {"workspace": self.workspace._to_model(), "report": self.report._to_model()}
        return {
            name: model.model_dump_json(by_alias=True, exclude_none=True, indent=2) for name, model in models.items()
        }

    def save(self) -> list[str]:
        """Upload both; returns where they are."""
        return [self.workspace.save().url, self.report.save().url]


def build_dashboard(runs: LoggedRuns, figure: str, lowest: bool, name: str, entity: str, project: str) -> Dashboard:
    """Make a workspace and a report of runs.

    Args:
        runs: what they have logged.
        figure: by which they are compared.
        lowest: whether a low one is good.
        name: of both.
        entity: user or team of W&B.
        project: of W&B.

    Raises:
        ValueError: wandb-workspaces is not installed, or no run has logged the figure.
    """
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
        from wandb_workspaces import expr
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is not installed; pip install 'ldmlab[dashboard]'") from error
    if not runs.last(figure):
        raise ValueError(f"figure={figure}: no run has logged it; choose one of {', '.join(runs.curves)}")
    sections = _sections(runs, figure)
    workspace = ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[ws.Section(name=title, panels=panels, is_open=True) for title, panels in sections.items()],
        settings=ws.WorkspaceSettings(x_axis=STEP),
        runset_settings=ws.RunsetSettings(
            filters=[_of_these(expr, runs)],
            order=[expr.Ordering(expr.Summary(figure), ascending=lowest)],
            pinned_columns=[f"summary:{figure}", *(f"config:{setting}" for setting in runs.settings)],
        ),
    )
    runset = partial(wr.Runset, name=name, filters=[_of_these(expr, runs)])  # of the report's own project
    blocks: list[Any] = [wr.TableOfContents(), wr.H1("Results"), wr.MarkdownBlock(_table(runs, figure, lowest))]
    for title, panels in _sections(runs, figure).items():
        blocks += [wr.H1(title), wr.PanelGrid(runsets=[runset()], panels=panels)]
    about = f"{len(runs.runs)} runs of {runs.folder}, compared by {figure}"
    return Dashboard(workspace, wr.Report(project, entity, name, about, blocks, "fluid"))


def _of_these(expr: Any, runs: LoggedRuns) -> Any:
    """Which runs of the project are shown."""
    if len(runs.runs) == 1:
        return expr.Metric("ID") == runs.first.run_id
    return expr.Metric("Group") == runs.first.group


def _sections(runs: LoggedRuns, figure: str) -> dict[str, list[Any]]:
    """Panels by section, of what there is."""
    import wandb_workspaces.reports.v2 as wr

    made = {"Sweep": _of_a_sweep(runs, figure)} if runs.settings else {}
    curves = [name for name in runs.curves if not name.endswith(ERROR)]
    made |= {title: _lines(curves, title) for title in SECTIONS}
    made["Pictures"] = [wr.MediaBrowser(title=name, media_keys=[name], num_columns=1) for name in runs.pictures]
    made["Confusion"] = [_confusion(table) for table in runs.tables]
    return {title: panels for title, panels in made.items() if panels}


def _lines(curves: list[str], title: str) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    shown, panels = set(ELSEWHERE.get(title, ())), []
    for beginning in SECTIONS[title]:
        exact = beginning in curves
        names = [n for n in curves if n not in shown and (n == beginning if exact else n.startswith(beginning))]
        groups = [names] if beginning in TOGETHER else [[name] for name in names]
        panels += [wr.LinePlot(title=_titled(beginning, group), x=STEP, y=list(group)) for group in groups if group]
        shown |= set(names)
    return panels


def _titled(beginning: str, group: list[str]) -> str:
    return group[0] if len(group) == 1 else f"{beginning}..."


def _of_a_sweep(runs: LoggedRuns, figure: str) -> list[Any]:
    """How the figure follows from the settings that differ."""
    import wandb_workspaces.reports.v2 as wr

    settings, result = [wr.Config(name) for name in runs.settings], wr.SummaryMetric(figure)
    columns = [*map(wr.ParallelCoordinatesPlotColumn, settings), wr.ParallelCoordinatesPlotColumn(result)]
    return [
        wr.ParallelCoordinatesPlot(title=f"{figure} by settings", columns=columns),
        wr.ParameterImportancePlot(with_respect_to=figure),
        *(wr.ScatterPlot(title=f"{figure} by {each.name}", x=each, y=result) for each in settings),
        wr.RunComparer(diff_only="split"),
    ]


def _confusion(table: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": table}},
        chart_name="wandb/confusion_matrix/v1",
        chart_fields=fields,
        chart_strings={"title": table.removesuffix("_table")},
    )


def _table(runs: LoggedRuns, figure: str, lowest: bool) -> str:
    """The figure of each run beside the settings that differ, the best first, in Markdown."""
    values, errors = runs.last(figure), runs.last(f"{figure}{ERROR}")
    ranked = sorted(runs.runs, key=lambda run: values.get(run, math.nan if lowest else -math.inf), reverse=not lowest)
    columns = ["run", figure, *runs.settings]
    lines = [columns, ["---"] * len(columns)]
    for run in ranked:
        shown = written(values[run], errors.get(run)) if run in values else "-"
        lines.append([run, shown, *(str(runs.runs[run].config.get(name)) for name in runs.settings)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_specifications(dashboard: Dashboard, folder: Path) -> list[Path]:
    """Write what W&B would be sent as `workspace.json` and `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in dashboard.specifications().items():
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(f"{text}\n")
    return paths
