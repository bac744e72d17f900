"""What an inversion is: from the latents of a picture to what a run of the sampler needs to draw them again.

Shapes: C latent channels, H x W latent grid, S steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.drawing.conditions import Conditions
from ldmlab.guidance.base import Guidance
from ldmlab.types import Conditioning, Level


@dataclass(frozen=True)
class InversionTask:
    """Latents, and how they are to be drawn again.

    Attributes:
        latents: of the picture.
        conditions: what its prompt says, and what guidance leads away from.
        denoiser: the model.
        guidance: how strongly the prompt leads.
        levels: the S + 1 levels that the sampler visits, from the noisiest on.
    """

    latents: Float[Tensor, "1 C H W"]
    conditions: Conditions
    denoiser: Denoiser
    guidance: Guidance
    levels: Level


@dataclass(frozen=True)
class Inverted:
    """What leads a sampler to the latents.

    Attributes:
        trajectory: x at each of the S + 1 levels, from the noisiest on; the last are the latents themselves.
        unconds: what guidance leads away from at each of the S steps; None for what it always does.
        corrects_source: whether the picture is put back on its trajectory after each step.
        corrects_target: whether what is drawn beside it is moved by as much.
    """

    trajectory: Sequence[Float[Tensor, "1 C H W"]]
    unconds: Sequence[Conditioning] | None = None
    corrects_source: bool = False
    corrects_target: bool = False


class Inversion(ABC):
    """A way to invert. Its constructor takes the settings that are its own."""

    @abstractmethod
    def invert(self, task: InversionTask) -> Inverted:
        """Find what leads to the latents.

        Raises:
            ValueError: the guidance is none that this method can undo.
        """
