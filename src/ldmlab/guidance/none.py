"""No guidance: the conditional estimate as it is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import Guidance, GuidedDenoiser
from ldmlab.types import Conditioning, Estimate, Level


class NoGuidance(Guidance):
    """One conditional pass a step."""

    def bind(
        self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None = None, control: Any = None
    ) -> GuidedDenoiser:
        """Return what a sampler calls: the estimate under `cond`; `uncond` is not used.

        Args:
            denoiser: the model.
            cond: what to draw.
            uncond: not used.
            control: sees the attention of every pass.
        """

        def estimate(x: Tensor, level: Level) -> Estimate:
            return denoiser.estimate(x, level, cond, control)

        return GuidedDenoiser(estimate)
