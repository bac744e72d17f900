"""A look at attention that costs a pass and changes nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.types import Conditioning, Estimate, Level


def observed(denoise: GuidedDenoiser, denoiser: Denoiser, cond: Conditioning, control: Any) -> GuidedDenoiser:
    """`denoise`, and before each call a conditional pass that a control sees and whose estimate nobody uses.

    A control inside the passes that count would move the picture by rounding: sites that it wants leave the fused
    kernel, and guidance no longer joins its two passes. Beside them, the picture stays what it is to the last bit.
    """

    def estimate(x: Tensor, level: Level) -> Estimate:
        denoiser.estimate(x, level, cond, control)
        return denoise.estimate(x, level)

    return GuidedDenoiser(estimate)
