"""The baseline of every edit: the target prompt from the same noise, without control."""

from __future__ import annotations

from collections.abc import Sequence

from ldmlab.editing.inversion.base import Inversion
from ldmlab.editing.inversion.direct import Direct
from ldmlab.editing.inversion.real_image import invert_image
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow


class FixedSeed(EditMethod):
    """Draws both prompts on their own, from one seed; or the target prompt from a given picture's inverted noise.

    Args:
        inversion: of a given picture; direct if not given.
    """

    takes = frozenset({"image"})
    needs = frozenset({"source", "target"})

    def __init__(self, inversion: Inversion | None = None) -> None:
        self.inversion = inversion or Direct()

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`."""
        sources, targets = task.prompts("source"), task.prompts("target")
        refuse_same(sources, targets)
        if task.image is not None:
            inverted = invert_image(task, self.inversion)
            task.tell(inverted.note)
            after = SheetRow(f"without control: {targets[0]}", inverted.edit(targets[0])[1])
            return Edited(inverted.row, [after])
        before = SheetRow(sources[0], task.draw(sources))
        return Edited(before, [SheetRow(f"fixed seed: {targets[0]}", task.draw(targets))])


def refuse_same(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse a prompt without a difference.

    Raises:
        ValueError: a target says what its source says.
    """
    for source, target in zip(sources, targets, strict=True):
        if source.casefold().split() == target.casefold().split():
            raise ValueError(f"target={target}: says the same as source; change a word")
