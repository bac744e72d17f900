"""Everything that is measured, by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from side_by_side import rate
from side_by_side.bench import Bench, first_line
from side_by_side.row import Row

SECTIONS = {
    "drawing": "drawing.section",
    "training": "training.section",
    "command": "command.section",
    "attention": "attention.section",
    "decoder": "passes.decoders",
    "unet": "passes.unets",
    "reading": "reading.section",
    "small": "training.others",
    "passes": "passes.transformers",
}
"""Modules and functions, imported when they run; in the order of what matters most, should the time be up."""


def chosen(words: str) -> list[str]:
    """The sections of "all", or of names between commas.

    Raises:
        ValueError: a name is not known.
    """
    names = list(SECTIONS) if words == "all" else words.split(",")
    if unknown := sorted(set(names) - set(SECTIONS)):
        raise ValueError(f"there is no section {', '.join(unknown)}; choose of {', '.join(SECTIONS)}, or all")
    return names


def run(bench: Bench, names: Sequence[str], page: Path | None = None) -> None:
    """The named sections, one after the other; the page is written after each. One that fails does not end the rest."""
    rate.section(bench)
    for name in names:
        try:
            module, _, function = SECTIONS[name].partition(".")
            getattr(import_module(f"side_by_side.{module}"), function)(bench)
        except Exception as error:  # what is left to measure is worth more
            bench.keep(Row(name.capitalize(), "all", "", notes=(first_line(error),)))
        bench.tidy()
        if page is not None:
            bench.record.write_into(page)
