"""The files of a measurement on PIE-Bench: tables of means beside the published ones, a line an edit, and a sheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ldmlab.atomic import atomic_file, write_json
from ldmlab.confidence import written
from ldmlab.evaluation.pie_bench.folder import CATEGORIES
from ldmlab.evaluation.pie_bench.measure import PieMeasured
from ldmlab.evaluation.pie_bench.noise import EXPLAINED, alike
from ldmlab.evaluation.pie_bench.published import FACTORS, base_of, published_figures, published_rows
from ldmlab.pictures.contact_sheet import contact_sheet
from ldmlab.pictures.png import write_png

Rows = list[list[str]]


def write_report(
    folder: Path, measured: PieMeasured, result: Mapping[str, Any], reasons: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """Write `metrics.json`, `table.csv`, `table.md`, `categories.csv`, `edits.csv` and `contact_sheet.png`.

    Args:
        folder: where they go; made where it is missing.
        measured: the figures.
        result: the figures and their circumstances, for `metrics.json`.
        reasons: why they do not compare with the published ones, a line each.
        settings: plain JSON data that the contact sheet carries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", result)
    for name, rows in (
        ("table.csv", numbers_table(measured)),
        ("categories.csv", categories_table(measured)),
        ("edits.csv", edits_table(measured)),
    ):
        _write(folder / name, _csv(rows))
    _write(folder / "table.md", markdown(paper_table(measured), reasons))
    write_png(folder / "contact_sheet.png", _sheet(measured), settings)


def paper_table(measured: PieMeasured) -> Rows:
    """A heading, the published rows and a row a method, in the paper's units; means with their standard errors.

    A published figure stands in the column of ours, of whatever networks both are. What differs from the best of ours
    by noise alone is marked, see `alike`.
    """
    bases = [base_of(name) for name in measured.names]
    rows = [["method", *(_heading(name) for name in measured.names)]]
    for row in published_rows():
        figures = published_figures(row)
        rows.append([row.model, *(_number(figures.get(base), base) for base in bases)])
    marked = alike(measured.names, measured.values, measured.higher_is_better)
    for method in measured.values:
        cells = ((each[0], _with_error(*each)) for each in _of_all(measured, method))
        rows.append([method, *(f"{cell} ~" if (method, name) in marked else cell for name, cell in cells)])
    return rows


def numbers_table(measured: PieMeasured) -> Rows:
    """The published rows and a row a method, not multiplied, with a column for each mean and each standard error."""
    rows = [["method", "source", "n", *_columns(measured.names)]]
    for row in published_rows():
        figures = published_figures(row)
        means = (figures.get(base_of(name)) for name in measured.names)
        cells = (cell for mean in means for cell in (_plain(mean), ""))
        rows.append([row.model, row.printed_in, row.circumstances["n"], *cells])
    for method in measured.values:
        rows.append([method, "ldmlab", str(len(measured.cases)), *_cells(measured, method)])
    return rows


def categories_table(measured: PieMeasured) -> Rows:
    """A row for each method and category of edits, with means and standard errors."""
    rows = [["method", "category", "meaning", "n", *_columns(measured.names)]]
    categories = sorted({case.category for case in measured.cases})
    for method in measured.values:
        for category in categories:
            n = sum(case.category == category for case in measured.cases)
            said = [method, category, CATEGORIES.get(category, ""), str(n)]
            rows.append([*said, *_cells(measured, method, category)])
    return rows


def edits_table(measured: PieMeasured) -> Rows:
    """A row for each method and edit, with its own figures."""
    rows = [["method", "key", "category", "source", "target", *measured.names]]
    for method, values in measured.values.items():
        for case, own in zip(measured.cases, values.tolist(), strict=True):
            rows.append([method, case.key, case.category, case.source, case.target, *map(_plain, own)])
    return rows


def markdown(rows: Rows, reasons: Sequence[str]) -> str:
    """A table in Markdown, and below it why its rows do not compare."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join([*lines, "", *told(reasons)]) + "\n"


def told(reasons: Sequence[str]) -> list[str]:
    """What the mark means, where published rows are printed, and why ours do not compare with them, for a reader."""
    sources = "; ".join(dict.fromkeys(row.printed_in for row in published_rows()))
    return [
        EXPLAINED,
        "",
        f"Published rows: {sources}. Ours do not compare with them:",
        *(f"- {each}" for each in reasons),
    ]


def _sheet(measured: PieMeasured) -> Any:
    """The given pictures over a row a method."""
    cases = [measured.cases[number] for number in measured.shown]
    titles = [case.source for case in cases]
    for method in list(measured.pictures)[1:]:
        titles += [f"{method}: {case.target}" for case in cases]
    pictures = [picture for row in measured.pictures.values() for picture in row]
    return contact_sheet(torch.stack(pictures), titles, columns=len(cases))


def _columns(names: Iterable[str]) -> list[str]:
    return [column for name in names for column in (name, f"{name}_error")]


def _of_all(
    measured: PieMeasured, method: str, category: str | None = None
) -> list[tuple[str, float | None, float | None]]:
    """The name of each figure, and the mean and the standard error where there are any."""
    found = {name: (mean, error) for name, mean, error in measured.means(method, category)}
    return [(name, *found.get(name, (None, None))) for name in measured.names]


def _cells(measured: PieMeasured, method: str, category: str | None = None) -> list[str]:
    return [_plain(value) for _, *both in _of_all(measured, method, category) for value in both]


def _plain(value: float | None) -> str:
    return "" if value is None or value != value else repr(float(value))


def _heading(name: str) -> str:
    factor = FACTORS.get(base_of(name))
    return name if factor is None else f"{name} x{factor:.0e}".replace("e+0", "e")


def _number(value: float | None, base: str) -> str:
    return "-" if value is None else f"{value * FACTORS.get(base, 1.0):.2f}"


def _with_error(name: str, mean: float | None, error: float | None) -> str:
    factor = FACTORS.get(base_of(name), 1.0)
    return "-" if mean is None else written(mean * factor, None if error is None else error * factor)


def _csv(rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())
