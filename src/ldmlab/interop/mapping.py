"""One table for each layout, read one way to import and the other way to export.

A table says for every tensor of ours by which names, and in which form, a public layout holds it. What a layout must
contain, with which shapes, follows from the table and from our model; so every key of a file is either used, ignored
for a stated reason, or an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ldmlab.interop.tensors import Tensors

Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Form:
    """How values change on the way: `read` from a public layout to ours, `write` back. Both take and return lists."""

    read: Callable[[list[Tensor]], list[Tensor]]
    write: Callable[[list[Tensor]], list[Tensor]]


SAME = Form(list, list)
LINEAR = Form(lambda theirs: [t[..., None, None] for t in theirs], lambda ours: [t[..., 0, 0] for t in ours])
"""Ours is a 1x1 convolution, theirs a linear layer."""
SEQUENCE = Form(lambda theirs: [t[..., 0] for t in theirs], lambda ours: [t[..., None] for t in ours])
"""Ours is a linear layer, theirs a convolution of width 1 over a sequence."""


def stacked(count: int) -> Form:
    """The form of a tensor of theirs that holds `count` of ours, one below the other."""
    return Form(lambda theirs: list(theirs[0].chunk(count)), lambda ours: [torch.cat(ours)])


def unstacked(count: int) -> Form:
    """The form of `count` tensors of theirs that are one of ours, one below the other."""
    return Form(stacked(count).write, stacked(count).read)


@dataclass(frozen=True)
class Link:
    """Tensors of ours and of a public layout that hold the same numbers."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    form: Form = SAME


def rename(name: str, rules: Rules) -> str:
    """Apply every rule (pattern, replacement) to a name, in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def renamed(names: Iterable[str], rules: Rules) -> list[Link]:
    """Links of one tensor each, for layouts that differ in names only."""
    return [Link((name,), (rename(name, rules),)) for name in names]


def to_public(table: Iterable[Link], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors by the names and in the form of the public layout."""
    public: dict[str, Tensor] = {}
    for link in table:
        values = link.form.write([state[name] for name in link.ours])
        public.update(zip(link.theirs, values, strict=True))
    return public


def from_public(table: Iterable[Link], tensors: Tensors) -> dict[str, Tensor]:
    """A file's tensors by our names and in our form; the file has been checked with `check_tensors`."""
    state: dict[str, Tensor] = {}
    for link in table:
        try:
            values = link.form.read([tensors.load(name) for name in link.theirs])
        except ValueError as error:
            raise ValueError(f"path={tensors.source}: '{tensors.prefix}{link.theirs[0]}' {error}") from error
        state.update(zip(link.ours, values, strict=True))
    return state


def check_tensors(table: Iterable[Link], ours: Mapping[str, Tensor], tensors: Tensors, ignored: Rules) -> Counter[str]:
    """Hold the names and shapes of a file against those of a model, before any value is read.

    Args:
        table: of the layout.
        ours: our model's state dict; on the meta device will do.
        tensors: of the file.
        ignored: (pattern, reason) for whole names that may be left over.

    Returns:
        How many tensors are ignored for each reason.

    Raises:
        ValueError: a tensor is missing, of another shape, or left over; the first is named.
    """
    expected = {name: value.shape for name, value in to_public(table, ours).items()}
    where = f"path={tensors.source}"
    for name, shape in expected.items():
        if name not in tensors:
            raise ValueError(f"{where}: lacks '{tensors.prefix}{name}' of shape {tuple(shape)}")
        if tensors.shapes[name] != shape:
            raise ValueError(f"{where}: '{tensors.prefix}{name}' {_difference(tensors.shapes[name], shape)}")
    reasons: Counter[str] = Counter()
    for name in tensors:
        if name not in expected:
            reason = next((reason for pattern, reason in ignored if re.fullmatch(pattern, name)), None)
            if reason is None:
                raise ValueError(
                    f"{where}: '{tensors.prefix}{name}' of shape {tuple(tensors.shapes[name])} is left over: the model "
                    "that the other keys make has no such tensor"
                )
            reasons[reason] += 1
    return reasons


def _difference(found: torch.Size, wanted: torch.Size) -> str:
    transposed = " (transposed)" if found == wanted[::-1] else ""
    return f"is {tuple(found)} in the file and {tuple(wanted)} in the model{transposed}"
