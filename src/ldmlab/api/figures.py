"""What `Model.evaluate` gives: figures by name, and how they came about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from ldmlab.atomic import write_json
from ldmlab.confidence import Difference, written
from ldmlab.evaluation.published.table import Beside
from ldmlab.studio.run_comparison import compared, unlike
from ldmlab.studio.run_records import RunRecord


class Figures(dict[str, float | None]):
    """Figures by name; None stands for an infinite one. In a notebook it shows itself as a table.

    Args:
        result: "metrics", "errors", "notes" and "manifest", see `ldmlab.metrics.manifest.record`.

    Attributes:
        errors: the standard errors of those figures that have one, by name.
        notes: what to know before the figures are compared, a line each.
        manifest: everything that they depend on.
    """

    def __init__(self, result: Mapping[str, Any]) -> None:
        super().__init__(result["metrics"])
        self.errors: dict[str, float] = dict(result["errors"])
        self.notes: list[str] = list(result["notes"])
        self.manifest: dict[str, Any] = dict(result["manifest"])

    def compare(self, other: Figures) -> dict[str, Difference]:
        """How much larger each figure is than another's, with the standard error and the p-value of that.

        P-values are of two-sided z-tests, corrected for the number of figures (Holm): 0.05 or less is more than noise.

        Args:
            other: figures of another model, or of other settings.

        Raises:
            ValueError: they were measured on, or with, something else.
        """
        mine, theirs = self._as_run(), other._as_run()
        if words := unlike(mine, theirs):
            raise ValueError(f"figures: they were measured with another {', '.join(words)}; compare those of the same")
        names = [name for name in self if name in self.errors and name in other.errors]
        found = zip(names, compared([(mine, theirs, name) for name in names]), strict=True)
        return {name: replace(each.difference, p_value=each.p_value) for name, each in found if each.difference}

    def _as_run(self) -> RunRecord:
        figures = {name: math.inf if value is None else value for name, value in self.items()}
        return RunRecord(Path(), figures=figures, errors=self.errors, manifest=self.manifest)

    def beside_published(self) -> str | None:
        """The published rows that go with the model, and these figures below them, as a page of Markdown.

        It says in what each row differs, so that figures are no comparison, and where each is printed. None where no
        table goes with the model (see the key `table` of `ldmlab evaluate`), or none of the table's figures is here.
        """
        beside = Beside.of({"metrics": dict(self), "errors": self.errors, "manifest": self.manifest})
        return None if beside is None else beside.markdown()

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the file of `ldmlab evaluate`, metrics.json; return its path.

        Args:
            path: of the file; its folder is made where it is missing.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"metrics": dict(self), "errors": self.errors, "notes": self.notes, "manifest": self.manifest})
        return file

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = (f"<tr><td>{escape(name)}</td><td>{self._written(name)}</td></tr>" for name in self)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<table><tr><th>figure</th><th>value</th></tr>{''.join(rows)}</table>{notes}"

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {self._written(name)}" for name in self)

    def _written(self, name: str) -> str:
        return written(self[name], self.errors.get(name))
