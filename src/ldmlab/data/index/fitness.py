"""Which of the scanned samples have what is read of them, and what is wrong with the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.columns import Columns
from ldmlab.data.index.field_column import Kind
from ldmlab.data.index.findings import Part
from ldmlab.data.index.selection import Selection, Told, select
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem, Tally, added, tally, told
from ldmlab.data.shards.labels import NONE
from ldmlab.data.shards.shard_folder import REMEDY


@dataclass(frozen=True)
class Fitness:
    """What is needed of samples, held against their columns chunk by chunk.

    Attributes:
        columns: of all scanned samples.
        needs: what every sample must have.
    """

    columns: Columns
    needs: Needs

    @property
    def recipe(self) -> str:
        """What decides which samples are fit, as a text."""
        needs = self.needs
        return json.dumps(["needs", needs.captions, needs.classes, sorted(needs.json)])

    def select(self, store: bool = True) -> Selection:
        """The samples that have what is needed."""
        return select(self.columns, self.recipe, self.mask, Told(self.tallies), store)

    def part(self, selection: Selection) -> Part:
        """What is wrong with the samples that are not among these, and what is told of others."""
        return Part(selection.tallies, self.flaws)

    def mask(self, start: int, stop: int) -> NDArray[np.bool]:
        """Which of the samples from `start` to `stop` have what is needed (stop - start,)."""
        fit = self._has_caption_and_label(start, stop)
        for key in self.needs.json:
            fit &= self._has(key, start, stop)
        return fit

    def flaws(self) -> Iterator[Problem]:
        """Yield what is wrong with captions, labels and json, where they are needed."""
        for name in self._flaw_columns():
            yield from (self.columns.problem(row, self.columns.flaw(name, row)) for row in self._flawed(name))
        yield from self._of_no_class()
        yield from self._without_key()

    def tallies(self) -> dict[Defect, Tally]:
        """Count what `flaws` yields."""
        counts = [self._tallies_of(name) for name in self._flaw_columns()]
        return added([*counts, tally(self._of_no_class()), tally(self._without_key())])

    def _flaw_columns(self) -> list[str]:
        needed = {"caption_flaws": self.needs.captions, "label_flaws": self.needs.classes is not None}
        return [name for name, is_needed in needed.items() if is_needed]

    def _tallies_of(self, name: str) -> dict[Defect, Tally]:
        """Count the flaws of a column by their numbers: of 400 million samples there may be many."""
        counts, first = np.zeros(256, np.int64), dict[int, int]()
        for start, stop in self.columns.chunks():
            flaws = self.columns.part(name, start, stop)
            counts += np.bincount(flaws, minlength=256)
            for number in np.unique(flaws[flaws > 0]).tolist():
                first.setdefault(number, start + int(np.argmax(flaws == number)))
        rows = sorted(first.items(), key=lambda item: item[1])
        found = [(int(counts[number]), self.columns.problem(row, self.columns.flaw(name, row))) for number, row in rows]
        return {problem.defect: Tally(count, problem) for count, problem in found}

    def _has_caption_and_label(self, start: int, stop: int) -> NDArray[np.bool]:
        fit = np.ones(stop - start, np.bool)
        if self.needs.captions:
            fit &= self.columns.captions.lengths(start, stop) > 0
        if self.needs.classes is not None:
            labels = self.columns.part("labels", start, stop)
            fit &= (labels > NONE) & (labels < self.needs.classes)
        return fit

    def _has(self, key: str, start: int, stop: int) -> NDArray[np.bool]:
        column = self.columns.fields.get(key)
        return np.zeros(stop - start, np.bool) if column is None else column.kinds[start:stop] != Kind.MISSING

    def _flawed(self, name: str) -> Iterator[int]:
        for start, stop in self.columns.chunks():
            yield from (start + np.flatnonzero(self.columns.part(name, start, stop))).tolist()

    def _of_no_class(self) -> Iterator[Problem]:
        classes = self.needs.classes
        for start, stop in self.columns.chunks() if classes is not None else ():
            labels = self.columns.part("labels", start, stop)
            for place in np.flatnonzero(labels >= classes).tolist():
                detail = f"label {labels[place]} of {classes} classes"
                yield self.columns.problem(start + place, Defect.NO_CLASS, detail)

    def _without_key(self) -> Iterator[Problem]:
        keys = sorted(self.needs.json)
        for start, stop in self.columns.chunks() if keys else ():
            has = np.array([self._has(key, start, stop) for key in keys])
            for place in np.flatnonzero(self._has_caption_and_label(start, stop) & ~has.all(axis=0)).tolist():
                lacking = keys[int(np.argmin(has[:, place]))]
                yield self.columns.problem(start + place, Defect.MISSING_KEY, lacking)


def why_nothing_fits(columns: Columns, needs: Needs, tallies: dict[Defect, Tally]) -> str:
    """Return what to do about a folder of which no sample fits."""
    root = columns.root
    if needs.captions and _count(tallies, Defect.MISSING_CAPTION) == len(columns):
        return (
            f"the shards in {root} have no captions (KEY.txt beside KEY.jpg): {REMEDY}; or choose a conditioner that"
            " reads none, such as class_label or none"
        )
    if needs.classes is not None and _count(tallies, Defect.MISSING_LABEL) == len(columns):
        return (
            f"the shards in {root} have no labels (KEY.cls, or `label` in KEY.json, with the number of the class): add"
            " them, or choose another conditioner"
        )
    if Defect.MISSING_KEY in tallies:
        key = tallies[Defect.MISSING_KEY].first.detail
        return (
            f"the shards in {root} have no '{key}', in KEY.json: add it, or choose "
            "what reads no such key (a key of a batch that is neither captions, labels nor images is one of the json)"
        )
    return f"the shards in {root} have no usable sample ({told(tallies)}): {REMEDY}"


def _count(tallies: dict[Defect, Tally], defect: Defect) -> int:
    return tallies[defect].times if defect in tallies else 0
