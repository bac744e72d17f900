"""Drawn pictures whose edits can be judged: the cases of a benchmark of editing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.editing.methods.base import EditTask
from ldmlab.metrics.edit_verdict import judgeable
from ldmlab.samplers.noise import picture_seeds
from ldmlab.worlds.shapes.scene_edits import SceneEdit, scene_edits

AT_ONCE = 32
"""Scenes drawn at once when looking for ones that can be judged."""
PATIENCE = 40
"""Give up when fewer than one candidate in so many can be judged."""


@dataclass(frozen=True)
class EditCase:
    """An edit, the seed of its picture, and the picture before it."""

    edit: SceneEdit
    seed: int
    before: UInt8[Tensor, "3 fH fW"]


class EditCases:
    """The first edits of a kind whose source pictures, as a model draws them, can be judged.

    Args:
        task: of the model that draws, and how it does; prompts and seeds are chosen here.
        kind: of edits, see `scene_edits`.
        n: how many are wanted.
        seed: of captions, edits and noise.
        ckpt: what the model is called, for errors.

    Attributes:
        drawn: how many pictures were drawn to find them, so far.
    """

    def __init__(self, task: EditTask, kind: str, n: int, seed: int, ckpt: str | None = None) -> None:
        self.task = task
        self.kind = kind
        self.n = n
        self.seed = seed
        self.ckpt = ckpt
        self.drawn = 0

    def groups(self) -> Iterator[list[EditCase]]:
        """Yield the cases in groups of `AT_ONCE`, but for the last group.

        Raises:
            ValueError: hardly any picture shows what its caption asks for.
        """
        found = islice(self._found(), self.n)
        while group := list(islice(found, AT_ONCE)):
            yield group

    def _found(self) -> Iterator[EditCase]:
        edits, count = scene_edits(self.kind, self.seed), 0
        while True:
            batch = list(islice(edits, AT_ONCE))
            seeds = picture_seeds(self.seed, len(batch), self.drawn)
            pictures = replace(self.task, drawing=self.task.drawing.of(seeds)).draw([edit.source for edit in batch])
            self.drawn += len(batch)
            cases = map(EditCase, batch, seeds, pictures)
            good = [case for case in cases if judgeable(case.edit, as_array(case.before))]
            count += len(good)
            if self.drawn > PATIENCE * (count + 1):
                raise ValueError(
                    f"ckpt={self.ckpt}: of {self.drawn} pictures {count} show what their captions ask for; "
                    "benchmark a model that was trained on shapes, and longer"
                )
            yield from good


def as_array(image: UInt8[Tensor, "3 fH fW"]) -> UInt8[np.ndarray, "fH fW 3"]:
    """A picture as the verifier reads it."""
    return image.permute(1, 2, 0).cpu().numpy()
