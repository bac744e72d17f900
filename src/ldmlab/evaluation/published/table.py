"""A measurement below the rows of a published table, with the reasons why it does not compare with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmlab.confidence import written
from ldmlab.evaluation.published.circumstances import TOPICS, Topic, circumstances, differences, label_of
from ldmlab.evaluation.published.rows import CIRCUMSTANCES, PublishedRow, PublishedTable, published


@dataclass(frozen=True)
class Beside:
    """A measurement of ours beside a published table.

    Attributes:
        table: that was published.
        model: what ours is called.
        figures: of ours, by the names of the table: value and standard error, each None where there is none.
        labels: the names that these figures have with us.
        own: how they came about, see `circumstances`.
        parameters: of the model, as tables write them.
    """

    table: PublishedTable
    model: str
    figures: Mapping[str, tuple[float | None, float | None]]
    labels: Mapping[str, str]
    own: Mapping[str, str]
    parameters: str

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Beside | None:
        """Lay a measurement beside the table that its manifest names; None where it names none, or has no such figure.

        Args:
            result: "metrics", "errors" and "manifest", see `ldmlab.metrics.manifest.record`.
        """
        manifest, metrics, errors = result["manifest"], result["metrics"], result.get("errors") or {}
        name = manifest.get("table")
        if name is None:
            return None
        table = published(name)
        found = {figure: label_of(figure, metrics) for figure in table.figures}
        labels = {figure: label for figure, label in found.items() if label is not None}
        if not labels:
            return None
        figures = {figure: (metrics[label], errors.get(label)) for figure, label in labels.items()}
        return cls(
            table,
            _called(manifest),
            figures,
            labels,
            circumstances(manifest, labels),
            _count(manifest.get("parameters")),
        )

    def header(self) -> list[str]:
        """The names of the columns of `lines`."""
        return ["model", *self.table.figures, "differs"]

    def lines(self) -> list[list[str]]:
        """The published rows, and ours below them, each with the marks of what it differs in from ours."""
        rows = [
            [row.model, *(row.figures[figure] or "-" for figure in self.table.figures), _marks(self._differs(row))]
            for row in self.table.rows
        ]
        return [*rows, [self.model, *map(self._cell, self.table.figures), "ours"]]

    def reasons(self, whole: bool = True) -> list[str]:
        """What each mark stands for: how it was here, and how there.

        Args:
            whole: name the models, where it was not the same for all.
        """
        found = {topic for row in self.table.rows for topic in self._differs(row)}
        told = [self._reason(topic, whole) for topic in TOPICS if topic in found]
        if not any(topic.bars for topic in found):
            told.append("as far as the papers tell, all was measured alike")
        return told

    def sources(self) -> list[str]:
        """Where the rows are printed, and whose they are."""
        printed = dict.fromkeys(row.printed_in for row in self.table.rows)
        whose = _grouped((row.source, row.model) for row in self.table.rows)
        each = [f"{', '.join(models)}: {who}" for who, models in whose.items()]
        return [f"printed in {' and '.join(printed)}", *each]

    def markdown(self) -> str:
        """The table, the reasons and the sources as a page of Markdown."""
        header, lines = self.header(), self.lines()
        rows = [header, ["---"] * len(header), *lines]
        table = [f"| {' | '.join(row)} |" for row in rows]
        listed = [f"- {line}" for line in (*self.reasons(), *self.sources())]
        return "\n".join([f"# {self.table.title}", "", *table, "", EXPLAINED, "", *listed, ""])

    def csv(self) -> str:
        """All that is known of each row, ours last, a column each; figures as numbers."""
        errors = {figure: error for figure, (_, error) in self.figures.items() if error is not None}
        names = ["model", *self.table.figures, *(f"{figure}_error" for figure in errors)]
        file = io.StringIO()
        columns = [*names, "not_comparable", "drawn_otherwise", *CIRCUMSTANCES, "source", "printed_in"]
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.table.rows:
            writer.writerow({"model": row.model, **row.figures, **row.circumstances, **self._told(row)})
        values = {figure: "" if value is None else repr(value) for figure, (value, _) in self.figures.items()}
        values |= {PARAMETERS: self.parameters} if PARAMETERS in self.table.figures else {}
        spread = {f"{figure}_error": repr(error) for figure, error in errors.items()}
        writer.writerow({"model": self.model, **values, **spread, **self.own, "source": "ldmlab"})
        return file.getvalue()

    def _differs(self, row: PublishedRow) -> list[Topic]:
        return differences(self.own, row)

    def _told(self, row: PublishedRow) -> dict[str, str]:
        """What the csv says of a published row beside its figures and circumstances."""
        differs = self._differs(row)
        return {
            "not_comparable": "; ".join(topic.column for topic in differs if topic.bars),
            "drawn_otherwise": "; ".join(topic.column for topic in differs if not topic.bars),
            "source": row.source,
            "printed_in": row.printed_in,
        }

    def _cell(self, figure: str) -> str:
        """A figure of ours: with its error, and the network's suffix where that is not the table's."""
        if figure not in self.figures:
            return self.parameters if figure == PARAMETERS else "-"
        value, error = self.figures[figure]
        number = written(value, error)
        suffix = self.labels[figure].removeprefix(figure).removeprefix("-")
        return f"{number} ({suffix})" if suffix else number

    def _reason(self, topic: Topic, whole: bool) -> str:
        """A line on one mark."""
        others = [row for row in self.table.rows if topic in self._differs(row)]
        there = _grouped((row.circumstances[topic.column], row.model) for row in others)
        named = whole and len(there) > 1
        told = [f"{value} ({', '.join(models)})" if named else value for value, models in there.items()]
        theirs = ("; " if named else " or ").join(told)
        return f"{topic.mark}  {topic.words}: {self.own[topic.column]} here, {theirs} there"


PARAMETERS = "params"
"""A column of tables, which is no figure that is measured."""
FILES_OF_A_RUN = frozenset({"model", "last", "previous", "best"})
EXPLAINED = (
    "A capital marks what makes figures no comparison with ours, a small letter pictures that were drawn otherwise; of "
    "what a paper does not tell there is no mark."
)


def _count(number: int | None) -> str:
    """A number of weights, as "1.45B"."""
    if number is None:
        return "-"
    size, unit = next((each for each in ((1e9, "B"), (1e6, "M")) if number >= each[0]), (1e3, "K"))
    return f"{number / size:.3g}{unit}"


def _called(manifest: Mapping[str, Any]) -> str:
    """What was measured: by the name of its file, or of the folder where the file is called as all are."""
    path = Path(manifest.get("checkpoint") or manifest.get("pictures") or "ours").absolute()
    return path.parent.name if path.stem in FILES_OF_A_RUN else path.stem


def _marks(topics: Sequence[Topic]) -> str:
    kinds = ("".join(topic.mark for topic in topics if topic.bars is bars) for bars in (True, False))
    return " ".join(filter(None, kinds)) or "nothing"


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Second parts of pairs by their first, in order."""
    groups: dict[str, list[str]] = {}
    for first, second in pairs:
        groups.setdefault(first, []).append(second)
    return groups
