"""What the verifier sees in the place of what captions asked for: a confusion matrix for each attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.metrics.base import Metric
from ldmlab.metrics.scenes.accuracy import looked_at
from ldmlab.worlds.shapes.scene import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES
from ldmlab.worlds.shapes.verifier import Seen, match

PREFIX = "confusion"
OF_OBJECTS: Mapping[str, tuple[str, ...]] = {"shape": SHAPES, "colour": tuple(COLOURS), "size": tuple(SIZES)}
NAMES: Mapping[str, tuple[str, ...]] = {**OF_OBJECTS, "place": PLACES, "background": tuple(BACKGROUNDS)}
NOTHING = "nothing"
"""What is seen where an object is missing, or what is there has none of the names."""


class Confusion(NamedTuple):
    """How often each name was seen (columns) where each was asked for (rows)."""

    asked: tuple[str, ...]
    seen: tuple[str, ...]
    counts: list[list[int]]


class SceneConfusion(Metric):
    """Counts what is seen where an attribute was asked for; nothing where no scene was drawn.

    Objects are matched to those asked for as `ldmlab.worlds.shapes.verifier.verify` does.
    """

    def __init__(self) -> None:
        super().__init__()
        for kind, names in NAMES.items():
            self.add_sum(kind, torch.zeros(len(names), len(names) + 1))

    def update(self, images: UInt8[Tensor, "B 3 H W"], asked: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Look at a batch of images.

        Args:
            images: what was drawn.
            asked: what each image's caption says, as `ldmlab.worlds.shapes.captions.caption` returns it.

        Raises:
            ValueError: the images are not uint8 (B, 3, H, W), or not one entry an image is given.
        """
        for scene, wish in looked_at(images, asked):
            for kind, want, got in _pairs(scene, wish):
                names = NAMES[kind]
                getattr(self, kind)[names.index(want), names.index(got) if got in names else len(names)] += 1

    def compute(self) -> dict[str, float]:
        """ "confusion/ATTRIBUTE/ASKED/SEEN" of all that was seen at least once: how often; see `confusions`."""
        return {
            f"{PREFIX}/{kind}/{names[row]}/{(*names, NOTHING)[column]}": count
            for kind, names in NAMES.items()
            for row, counts in enumerate(getattr(self, kind).tolist())
            for column, count in enumerate(counts)
            if count
        }


def confusions(figures: Mapping[str, float]) -> dict[str, Confusion]:
    """The matrices, by attribute, that the figures of a `SceneConfusion` stand for; other figures are passed over."""
    found: dict[str, Confusion] = {}
    for figure, count in figures.items():
        if figure.startswith(f"{PREFIX}/"):
            _, kind, want, got = figure.split("/")
            names, columns = NAMES[kind], (*NAMES[kind], NOTHING)
            matrix = found.setdefault(kind, Confusion(names, columns, [[0] * len(columns) for _ in names]))
            matrix.counts[names.index(want)][columns.index(got)] = int(count)
    return found


def _pairs(seen: Seen, asked: Mapping[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Each attribute that a caption asked for, with what it asked for and what is there."""
    found = match(seen, asked)
    for number, wanted in enumerate(asked["objects"]):
        for kind in OF_OBJECTS:
            if wanted[kind] is not None:
                yield kind, wanted[kind], None if found is None else getattr(found[number], kind)
    if asked["place"] is not None:
        yield "place", asked["place"], None if found is None else found[0].place
    if asked["background"] is not None:
        yield "background", asked["background"], seen.background
