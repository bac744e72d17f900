"""The figures that a run has left in its folder, with their standard errors and what they depend on."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ldmlab.confidence import ERROR
from ldmlab.files import open_regular, read_text


def read_figures(folder: Path) -> tuple[dict[str, float], dict[str, float], Mapping[str, Any], Mapping[str, bool]]:
    """Figures, their errors, what they depend on, and of which the higher is better.

    Of training those are the last that were logged, else those of metrics.json.
    """
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        told = json.loads(read_text(folder / "metrics.json", 2**24))
        manifest, better = (_section(told, name) for name in ("manifest", "higher_is_better"))
        figures, errors = _numbers(told["metrics"].items()), _numbers(_section(told, "errors").items())
        return figures, errors, manifest, {name: value is True for name, value in better.items()}
    return *_parted(_logged(folder)), {}, {}


def _section(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Of a file that may be anything."""
    section = told.get(name)
    return section if isinstance(section, dict) else {}


def _logged(folder: Path) -> dict[str, float]:
    with suppress(OSError, ValueError, csv.Error), open_regular(folder / "metrics.csv") as file:
        return _last_values(csv.DictReader(line.decode(errors="replace") for line in file))
    return _last_values(_offline(folder)) if (folder / "wandb").is_dir() else {}


def _parted(logged: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Figures, and the errors of those beside which one is logged."""
    errors = {name: logged[f"{name}{ERROR}"] for name in logged if f"{name}{ERROR}" in logged}
    return {name: value for name, value in logged.items() if name not in {f"{each}{ERROR}" for each in errors}}, errors


def _last_values(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    last: dict[str, Any] = {}
    for row in rows:
        last |= {name: value for name, value in row.items() if value not in (None, "") and name}
    return _numbers(last.items())


def _numbers(values: Iterable[tuple[str, Any]]) -> dict[str, float]:
    found = {}
    for name, value in values:
        with suppress(ValueError, TypeError):
            found[name] = math.inf if value is None else float(value)
    return found


def _offline(folder: Path) -> Sequence[Mapping[str, Any]]:
    """The rows of a run that W&B alone has logged, over all of its pieces."""
    from ldmlab.studio.wandb_history import history

    try:
        run = history(folder)
    except (OSError, ValueError):
        return ()
    return () if run is None else run.rows
