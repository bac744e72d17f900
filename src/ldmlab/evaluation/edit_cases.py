"""Drawn pictures whose edits can be judged: the cases of a benchmark of editing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.editing.methods.base import EditTask
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.metrics.scenes.edit_verdict import judgeable
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
        shares: which pictures this rank draws; all ranks are given all cases.

    Attributes:
        drawn: how many pictures were drawn to find them, so far.
    """

    def __init__(
        self, task: EditTask, kind: str, n: int, seed: int, ckpt: str | None = None, shares: Shares = SINGLE
    ) -> None:
        self.task = task
        self.kind = kind
        self.n = n
        self.seed = seed
        self.ckpt = ckpt
        self.shares = shares
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
        good_ones = 0
        for good in self.shares.each(self._candidates(), self._judgeable):
            self.drawn += AT_ONCE
            good_ones += len(good)
            if self.drawn > PATIENCE * (good_ones + 1):
                raise ValueError(
                    f"ckpt={self.ckpt}: of {self.drawn} pictures {good_ones} show what their captions ask for; "
                    "benchmark a model that was trained on shapes, and longer"
                )
            yield from good

    def _candidates(self) -> Iterator[tuple[int, list[SceneEdit]]]:
        """Edits that are tried together, and the number of the first of them."""
        edits = scene_edits(self.kind, self.seed)
        for start in count(step=AT_ONCE):
            yield start, list(islice(edits, AT_ONCE))

    def _judgeable(self, candidates: tuple[int, list[SceneEdit]]) -> list[EditCase]:
        """Those edits of which a picture can be judged."""
        start, edits = candidates
        seeds = picture_seeds(self.seed, len(edits), start)
        pictures = self.shares.once(f"sources-{start:08d}", lambda: self._drawn(edits, seeds))["pictures"]
        cases = map(EditCase, edits, seeds, [picture.clone() for picture in pictures])  # a view would travel whole
        return [case for case in cases if judgeable(case.edit, as_array(case.before))]

    def _drawn(self, edits: Sequence[SceneEdit], seeds: Sequence[int]) -> dict[str, Tensor]:
        own = replace(self.task, drawing=self.task.drawing.of(seeds))
        return {"pictures": own.draw([edit.source for edit in edits])}


def as_array(image: UInt8[Tensor, "3 fH fW"]) -> UInt8[np.ndarray, "fH fW 3"]:
    """A picture as the verifier reads it."""
    return image.permute(1, 2, 0).cpu().numpy()
