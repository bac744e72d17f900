"""Figures as papers have printed them: each table is a csv file beside this module, each row says where it stands.

The first line of a file is the table's title. Of the columns those in `CIRCUMSTANCES` say how a row was measured and
drawn, where the papers tell; `source` and `printed_in` say whose figures they are and where they can be read; all
others are figures. So a new table is one csv file.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
AUTO = "auto"
TABLES = {"labels": "imagenet256", "captions": "coco256"}
"""The table for models that read labels or captions."""
CIRCUMSTANCES = (
    *("n", "extractor", "image_size", "resize", "conditions", "reference"),
    *("sampler", "steps", "guidance", "guidance_scale", "guided_channels", "evaluator"),
)
"""What may be told of how a row came about; see `circumstances`."""
TEXTS = frozenset({"model", *CIRCUMSTANCES, "source", "printed_in"})


@dataclass(frozen=True)
class PublishedRow:
    """What a paper says of a model.

    Attributes:
        model: as the paper calls it.
        figures: as they are printed, "" where there is none.
        circumstances: how they came about, by the names of `CIRCUMSTANCES`, where that is told.
        source: whose figures they are.
        printed_in: where they are printed together.
    """

    model: str
    figures: Mapping[str, str]
    circumstances: Mapping[str, str]
    source: str
    printed_in: str


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
        name: of its file.
        title: what it is of.
        figures: the names of its columns of figures, in order.
        rows: in the paper's order.
    """

    name: str
    title: str
    figures: tuple[str, ...]
    rows: tuple[PublishedRow, ...]


def table_names() -> list[str]:
    """The tables that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def table_of(reads: Collection[str]) -> str | None:
    """The table that a model stands in by what its conditioner reads: labels alone, or captions; None for others."""
    return TABLES.get(*reads) if len(reads) == 1 else None


def published(name: str) -> PublishedTable:
    """The table of a name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in table_names():
        raise ValueError(f"table={name}: no such table; choose one of {', '.join(table_names())}")
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        title = next(file).removeprefix("#").strip()
        reader = csv.DictReader(file)
        figures = tuple(column for column in reader.fieldnames or () if column not in TEXTS)
        return PublishedTable(name, title, figures, tuple(_row(line, figures) for line in reader))


def _row(line: Mapping[str, str], figures: tuple[str, ...]) -> PublishedRow:
    told = {name: line[name] for name in CIRCUMSTANCES if line.get(name)}
    return PublishedRow(line["model"], {name: line[name] for name in figures}, told, line["source"], line["printed_in"])
