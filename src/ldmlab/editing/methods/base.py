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
        seeds: one for each of the N pictures that are wanted.
        sources: prompts of the pictures before the edit; None where none was given.
        targets: prompts of the edited pictures; None where none was given.
        image: the picture to edit; None to draw it from `sources`.
        mask: True where a picture may change, one for all or one for each; None for everywhere.
        batch_size: pictures at once on a GPU.
    """

    model: LatentDiffusion
    sampler: Sampler
    guidance: Guidance
    seeds: Sequence[int]
    sources: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    image: UInt8[Tensor, "3 fH fW"] | None = None
    mask: Bool[Tensor, "*N fH fW"] | None = None
    batch_size: int = 64

    def prompts(self, key: str) -> Sequence[str]:
        """The sources or the targets.

        Args:
            key: "source" or "target".

        Raises:
            ValueError: none were given.
        """
        given = self.sources if key == "source" else self.targets
        if given is None:
            what = "what the picture shows" if key == "source" else "what the edited picture should show"
            raise ValueError(f"{key}: this method needs a prompt; say {what}")
        return given

    def refuse(self, *names: str) -> None:
        """Refuse what a method makes no use of, "image" or "mask".

        Raises:
            ValueError: one of them was given.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: this method makes no use of it; leave it out or choose another method")

    def draw(self, prompts: Sequence[str]) -> UInt8[Tensor, "N 3 fH fW"]:
        """Pictures of prompts, one for each seed, as `ldmlab sample` draws them."""
        batch = self.model.conditioner.batch(prompts)
        return self.model.sample(batch, self.seeds, self.sampler, self.guidance, self.batch_size)


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
