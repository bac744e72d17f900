"""What an editing method is: from a picture, drawn or given, to the edited one.

Shapes: N pictures, fH x fW pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.models.latent_diffusion import LatentDiffusion

MEANINGS = {
    "source": "say what the picture shows",
    "target": "say what the edited picture should show",
    "image": "give the picture file to edit",
    "mask": "give a picture file of the image's size, white where it may change",
}


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class EditTask:
    """What is to be edited, with which model.

    Attributes:
        model: the parts.
        drawing: how the N pictures are drawn that are wanted.
        sources: prompts of the pictures before the edit; None where none was given.
        targets: prompts of the edited pictures; None where none was given.
        image: the picture to edit; None to draw it from `sources`.
        mask: True where a picture may change, one for all or one for each; None for everywhere.
        tell: called with a line that the user should know before the pictures are done.
    """

    model: LatentDiffusion
    drawing: Drawing
    sources: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    image: UInt8[Tensor, "3 fH fW"] | None = None
    mask: Bool[Tensor, "*N fH fW"] | None = None
    tell: Callable[[str], None] = _silent

    @property
    def given(self) -> Set[str]:
        """Which of "source", "target", "image" and "mask" the task has."""
        fields = {"source": self.sources, "target": self.targets, "image": self.image, "mask": self.mask}
        return {name for name, value in fields.items() if value is not None}

    def prompts(self, key: str) -> Sequence[str]:
        """The prompts under "source" or "target".

        Raises:
            ValueError: none were given.
        """
        given = self.sources if key == "source" else self.targets
        if given is None:
            raise ValueError(f"{key}: no value; {MEANINGS[key]}")
        return given

    @property
    def picture(self) -> UInt8[Tensor, "3 fH fW"]:
        """The picture to edit.

        Raises:
            ValueError: none was given.
        """
        if self.image is None:
            raise ValueError(f"image: no value; {MEANINGS['image']}")
        return self.image

    @property
    def changeable(self) -> Bool[Tensor, "*N fH fW"]:
        """Where the pictures may change.

        Raises:
            ValueError: no mask was given.
        """
        if self.mask is None:
            raise ValueError(f"mask: no value; {MEANINGS['mask']}")
        return self.mask

    def draw(self, prompts: Sequence[str]) -> UInt8[Tensor, "N 3 fH fW"]:
        """Pictures of prompts, one for each seed, as `ldmlab sample` draws them."""
        return sample(self.model, self.drawing, self.model.conditioner.batch(prompts))


@dataclass(frozen=True)
class SheetRow:
    """A row of a contact sheet: pictures of one kind, one for each seed or one for all."""

    title: str
    pictures: UInt8[Tensor, "N 3 fH fW"]


@dataclass(frozen=True)
class Edited:
    """The pictures before and after an edit.

    Attributes:
        before: the pictures before the edit.
        after: the edited ones; more than one row where a setting was swept.
        notes: what the user should know, a line each: a reconstruction's PSNR, the sites that were changed.
    """

    before: SheetRow
    after: Sequence[SheetRow]
    notes: Sequence[str] = ()


class EditMethod(ABC):
    """A way to edit. Its constructor takes the settings that are its own.

    Attributes:
        needs: those of "source", "target", "image" and "mask" without which it cannot work.
        takes: those that it makes use of where they are given.
        keeps_size: whether it takes an image, and the mask over it, at its own size rather than at the model's.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset()
    keeps_size: ClassVar[bool] = False

    def check(self, given: Set[str]) -> None:
        """Refuse too little and too much.

        Args:
            given: those of "source", "target", "image" and "mask" that the user gave.

        Raises:
            ValueError: the first that is missing, or of which this method makes no use.
        """
        for key in sorted(self.needs - given):
            raise ValueError(f"{key}: this method needs one; {MEANINGS[key]}")
        for key in sorted(given - self.needs - self.takes):
            raise ValueError(f"{key}: this method makes no use of it; leave it out, or choose another method")

    def edit(self, task: EditTask) -> Edited:
        """Make the edit: the pictures before and after it, with a row for each setting that is swept.

        Raises:
            ValueError: `check` refuses the task; or a setting does not fit the model, the sampler or the picture.
        """
        self.check(task.given)
        return self._edit(task)

    @abstractmethod
    def _edit(self, task: EditTask) -> Edited:
        """Draw, with all that is needed at hand."""
