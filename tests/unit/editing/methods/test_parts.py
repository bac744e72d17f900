"""Edits of many seeds are drawn some at a time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.parts import AT_ONCE, edited_parts


class Recorded(EditMethod):
    """Draws nothing, one picture a seed or one for all, and keeps what it was asked for."""

    takes = frozenset({"source", "target"})

    def __init__(self, one_for_all: bool = False) -> None:
        self.one_for_all = one_for_all
        self.asked: list[tuple[list[int], Any, Any]] = []

    def _edit(self, task: EditTask) -> Edited:
        self.asked.append((list(task.drawing.seeds), task.sources, task.targets))
        task.tell("in windows")
        pictures = torch.zeros(1 if self.one_for_all else len(task.drawing.seeds), 3, 2, 2, dtype=torch.uint8)
        return Edited(SheetRow("before", pictures), [SheetRow("after", pictures)])


def task(count: int, rows: int) -> EditTask:
    model: Any = SimpleNamespace(device=torch.device("meta"))
    nothing: Any = None
    return EditTask(model, Drawing(nothing, nothing, range(count), rows), [f"prompt {i}" for i in range(count)])


@pytest.mark.parametrize(("rows", "size"), [(1, 16), (8, 16), (5, 20), (16, 16), (64, 64)])
def test_whole_batches_one_after_the_other(rows: int, size: int) -> None:
    method = Recorded()
    parts = edited_parts(method, task(1000, rows))
    assert next(parts)[0] == 0
    assert [len(seeds) for seeds, *_ in method.asked] == [size]
    for first, edited in parts:
        seeds, sources, targets = method.asked[-1]
        assert (seeds[0], sources[0], targets) == (first, f"prompt {first}", None)
        assert len(seeds) == len(sources) == len(edited.before.pictures)
    assert [seed for seeds, *_ in method.asked for seed in seeds] == list(range(1000))
    assert size >= AT_ONCE


def test_a_picture_that_stands_for_all_is_made_once() -> None:
    method = Recorded(one_for_all=True)
    assert len(list(edited_parts(method, task(1000, 8)))) == 1
    assert len(method.asked) == 1


def test_what_is_so_of_all_is_told_once() -> None:
    lines: list[str] = []
    assert len(list(edited_parts(Recorded(), replace(task(100, 8), tell=lines.append)))) == 7
    assert lines == ["in windows"]
