"""The baseline of every edit: the target prompt from the same noise, without control."""

from __future__ import annotations

from collections.abc import Sequence

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, Row


class FixedSeed(EditMethod):
    """Draws both prompts on their own, from one seed."""

    needs = frozenset({"source", "target"})

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        sources, targets = task.prompts("source"), task.prompts("target")
        refuse_same(sources, targets)
        before = Row(sources[0], task.draw(sources))
        return Edited(before, [Row(f"fixed seed: {targets[0]}", task.draw(targets))])


def refuse_same(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse a prompt without a difference.

    Raises:
        ValueError: a target says what its source says.
    """
    for source, target in zip(sources, targets, strict=True):
        if source.casefold().split() == target.casefold().split():
            raise ValueError(f"target={target}: says the same as source; change a word")
