"""Whether figures of runs differ by more than noise, as their standard errors tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldmlab.confidence import LEVEL, Difference, corrected, difference
from ldmlab.studio.run_records import RunRecord, named

NOISE = "~"
"""Stands beside a figure that differs by no more than noise."""
HOW = f"two-sided z-test on the standard errors at {LEVEL}, Holm's correction"
MANIFEST = {
    "n": ("n",),
    "extractor": ("extractor", "extractor_sha256", "networks"),
    "reference": ("reference_fingerprint",),
    "n_reference": ("n_reference",),
    "size": ("picture_size", "resized_to"),
    "conditions": ("conditions",),
    "bound_steps": ("bound_steps",),
}
"""What figures need to have in common to be compared: a word for it, and the fields of the manifest that say it."""
EVALUATION = "callbacks.evaluation"
SETTINGS = {
    "n": (f"{EVALUATION}.n",),
    "extractor": (f"{EVALUATION}.extractor._target_", f"{EVALUATION}.extractor.weights"),
    "reference": ("data.path", "data.heldout_path"),
    "size": ("data.image_size",),
    "conditions": (f"{EVALUATION}.conditions",),
}
"""The same of figures that were measured while training, and the settings that say it."""


@dataclass(frozen=True)
class Compared:
    """A figure of a run beside that of another.

    Attributes:
        unlike: words for what the figures need to have in common, and have not.
        difference: the figure less the other's; None where they are unlike, or one of them has no standard error.
        p_value: of that difference, corrected for all that are looked at together; NaN without one.
    """

    unlike: Sequence[str] = ()
    difference: Difference | None = None
    p_value: float = math.nan

    @property
    def mark(self) -> str:
        """What stands beside the figure in a table."""
        if self.unlike:
            return f"({', '.join(self.unlike)})"
        return NOISE if self.p_value > LEVEL else ""


def compared(pairs: Sequence[tuple[RunRecord, RunRecord, str]]) -> list[Compared]:
    """Compare figures, each of a run with that of another of the same name, and correct for how many they are."""
    differences = [_difference(*pair) for pair in pairs]
    p_values = iter(corrected([each.p_value for each in differences if each is not None]))
    return [
        Compared(_reasons(*pair), each, math.nan if each is None else next(p_values))
        for pair, each in zip(pairs, differences, strict=True)
    ]


def unlike(run: RunRecord, other: RunRecord) -> list[str]:
    """Words for what figures of two runs need to have in common to be compared and have not, as far as both tell."""
    mine, theirs = circumstances(run), circumstances(other)
    words = [word for word in mine if any(map(_differ, mine[word], theirs.get(word, [])))]
    return [word for word in words if word != "n_reference" or "n" not in words]  # which it follows


def circumstances(run: RunRecord) -> dict[str, list[object]]:
    """What the figures of a run need to have in common with those of others, by a word for each."""
    fields: Mapping[str, object] = run.manifest or run.settings
    words = MANIFEST if run.manifest else SETTINGS
    return {word: [fields.get(name) for name in names] for word, names in words.items()}


def _differ(one: object, other: object) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return any(_differ(one[name], other[name]) for name in one if name in other)
    return one is not None and other is not None and one != other


def _reasons(run: RunRecord, other: RunRecord, name: str) -> list[str]:
    """Why figures that both have errors are not compared."""
    return unlike(run, other) if name in run.errors and name in other.errors else []


def _difference(run: RunRecord, other: RunRecord, name: str) -> Difference | None:
    values = run.value(name), run.errors.get(name, math.nan), other.value(name), other.errors.get(name, math.nan)
    if run is other or not all(map(math.isfinite, values)) or unlike(run, other):
        return None
    return difference(*values)


@dataclass(frozen=True)
class Marks:
    """What stands beside the figures of runs in a table, each compared with that of a baseline.

    Attributes:
        baseline: one of the runs; None where there is none.
        cells: by run and figure.
    """

    baseline: RunRecord | None
    cells: Mapping[tuple[Path, str], Compared]

    @classmethod
    def of(cls, runs: Sequence[RunRecord], baseline: RunRecord | None, figures: Sequence[str]) -> Marks:
        """Compare the figures of all runs; p-values are corrected for the runs, figure by figure."""
        cells: dict[tuple[Path, str], Compared] = {}
        if baseline is not None:
            others = [run for run in runs if run.folder != baseline.folder]
            for name in figures:
                found = compared([(run, baseline, name) for run in others])
                cells |= {(run.folder, name): each for run, each in zip(others, found, strict=True)}
        return cls(baseline, cells)

    def of_cell(self, run: RunRecord, name: str) -> str:
        """The mark of a figure."""
        return self.cells.get((run.folder, name), Compared()).mark

    def legend(self, root: Path) -> list[str]:
        """What the marks mean, a line each; none where nothing can be compared."""
        if self.baseline is None:
            return []
        lines, name = [], named(self.baseline.folder, root)
        if any(each.difference is not None for each in self.cells.values()):
            lines.append(f"{NOISE}: differs from {name} by no more than noise ({HOW} over the runs)")
        for mark in sorted({each.mark for each in self.cells.values() if each.unlike}):
            lines.append(f"{mark}: not compared with {name}, which was measured with another {mark.strip('()')}")
        return lines
