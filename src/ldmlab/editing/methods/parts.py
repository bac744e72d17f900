"""Edits of many seeds, some at a time, so that pictures can be written as they are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask

AT_ONCE = 16
"""Seeds at least whose pictures are drawn before they are handed on."""


def edited_parts(method: EditMethod, task: EditTask) -> Iterator[tuple[int, Edited]]:
    """Edit for some seeds at a time; a picture that stands for all seeds comes once.

    What the method tells is told of the first ones alone.

    Yields:
        The number of the first seed, and what was made for it and those after it.

    Raises:
        ValueError: see `EditMethod.edit`.
    """
    rows = task.drawing.rows(task.model)
    at_once = -(-AT_ONCE // rows) * rows
    seeds = task.drawing.seeds
    count = len(seeds)
    for first in range(0, count, at_once):
        part = slice(first, first + at_once)
        sources, targets = (None if given is None else given[part] for given in (task.sources, task.targets))
        tell = task.tell if first == 0 else _silent
        drawing = task.drawing.of(seeds[part])
        edited = method.edit(replace(task, drawing=drawing, sources=sources, targets=targets, tell=tell))
        yield first, edited
        if count > at_once and all(len(row.pictures) == 1 for row in (edited.before, *edited.after)):
            return


def _silent(line: str) -> None:
    pass
