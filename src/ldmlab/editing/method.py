"""What an editing method is: from a picture, drawn or given, to the edited one.

Shapes: N pictures, fH x fW pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.guidance.base import Guidance
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler


@dataclass(frozen=True)
class EditTask:
    """What is to be edited, with which model.

    Attributes:
        model: the parts.
        sampler: how pictures are drawn.
        guidance: how strongly prompts lead.
        seeds: one for each picture that is wanted.
        source: prompt of the picture before the edit; None where none was given.
        target: prompt of the edited picture; None where none was given.
        image: the picture to edit; None to draw it from `source`.
        mask: True where the picture may change; None for everywhere.
        batch_size: pictures at once on a GPU.
    """

    model: LatentDiffusion
    sampler: Sampler
    guidance: Guidance
    seeds: Sequence[int]
    source: str | None = None
    target: str | None = None
    image: UInt8[Tensor, "3 fH fW"] | None = None
    mask: Bool[Tensor, "fH fW"] | None = None
    batch_size: int = 64


@dataclass(frozen=True)
class Row:
    """Pictures of one kind, one for each seed, or one for all."""

    title: str
    pictures: UInt8[Tensor, "N 3 fH fW"]


@dataclass(frozen=True)
class Edited:
    """What a method made.

    Attributes:
        before: the pictures before the edit.
        after: the edited ones; more than one row where a setting was swept.
        notes: what the user should know, a line each: a reconstruction's PSNR, the sites that were changed.
    """

    before: Row
    after: Sequence[Row]
    notes: Sequence[str] = ()


class EditMethod(ABC):
    """A way to edit. Its constructor takes the settings that are its own."""

    @abstractmethod
    def edit(self, task: EditTask) -> Edited:
        """Draw.

        Raises:
            ValueError: the task lacks what this method needs, or holds what it does not use.
        """
