"""Draws a study's curves and prints its table, from the folders that its runs wrote.

    python experiments/curves.py sweep RUNS... --x sampler_config.steps --by sampler --y FID-lite0 --out curve.png
    python experiments/curves.py training RUNS... --y val/loss --out curve.png

`sweep` reads the metrics.json of evaluations, found below the given folders; `training` the metrics.csv of runs, each
named by its folder. Needs matplotlib, which `make .venv/dev` installs.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

Curve = list[tuple[float, float]]
Curves = dict[str, Curve]


def sweep(folders: Iterable[Path], x: str, by: str, y: str) -> Curves:
    """One curve for each value of the manifest's entry `by`, over its entry `x` (dots lead into sections)."""
    curves: defaultdict[str, Curve] = defaultdict(list)
    folders = list(folders)
    for path in sorted(path for folder in folders for path in folder.rglob("metrics.json")):
        result = json.loads(path.read_text())
        if y not in result["metrics"]:
            raise SystemExit(f"--y {y}: {path} has no such figure; it has {', '.join(result['metrics'])}")
        curves[str(entry(result["manifest"], by))].append((entry(result["manifest"], x), result["metrics"][y]))
    if not curves:
        raise SystemExit(f"{', '.join(map(str, folders))}: no metrics.json below; give folders of evaluations")
    return {name: sorted(points) for name, points in curves.items()}


def training(folders: Iterable[Path], y: str) -> Curves:
    """One curve for each run, over its steps. SystemExit, in one line, where a run has none."""
    curves = {}
    for folder in folders:
        path = folder / "metrics.csv"
        if not path.is_file():
            raise SystemExit(f"{path}: no such file; give folders of runs that have logged at least one row")
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        curves[folder.name] = [(float(row["step"]), float(row[y])) for row in rows if row.get(y)]
        if not curves[folder.name]:
            known = ", ".join(sorted({name for row in rows for name, value in row.items() if value} - {"step"}))
            raise SystemExit(f"--y {y}: {path} has no such figures; it has {known or 'none'}")
    return curves


def entry(section: Any, path: str) -> Any:
    """A nested value by its dotted path."""
    try:
        return reduce(lambda node, name: node[name], path.split("."), section)
    except (KeyError, TypeError) as error:
        raise SystemExit(f"{path}: no such entry in a manifest; it has {', '.join(section)}") from error


def table(curves: Curves, y: str) -> str:
    """Markdown, one row a curve."""
    columns = sorted({x for curve in curves.values() for x, _ in curve})
    rows = [f"| {y} | " + " | ".join(f"{x:g}" for x in columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name, curve in curves.items():
        values = dict(curve)
        rows.append(f"| {name} | " + " | ".join(f"{values[x]:.4g}" if x in values else "" for x in columns) + " |")
    return "\n".join(rows)


def positive(curves: Curves) -> bool:
    """Whether a logarithmic axis can show every point."""
    return all(x > 0 for curve in curves.values() for x, _ in curve)


def draw(panels: dict[str, Curves], x: str, path: Path, marked: bool) -> None:
    """One panel for each figure, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.5 * len(panels), 4), squeeze=False)
    for axis, (y, curves) in zip(axes[0], panels.items(), strict=True):
        for name, curve in curves.items():
            axis.plot(*zip(*curve, strict=True), marker="o" if marked else None, markersize=3, label=name)
        axis.set(xlabel=x, ylabel=y, xscale="log" if marked and positive(curves) else "linear")
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read the arguments; draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("sweep", "training"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--x", default="sampler_config.steps")
    parser.add_argument("--by", default="sampler")
    parser.add_argument("--y", nargs="+", required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    is_sweep = given.kind == "sweep"
    panels = {
        y: sweep(given.folders, given.x, given.by, y) if is_sweep else training(given.folders, y) for y in given.y
    }
    for y, curves in panels.items():
        print(table(curves, y), end="\n\n")
    if given.out is not None:
        draw(panels, given.x.rpartition(".")[2] if is_sweep else "step", given.out, marked=is_sweep)


if __name__ == "__main__":
    main()
