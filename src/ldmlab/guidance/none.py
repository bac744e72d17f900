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
        """See `Guidance.bind`; `uncond` is not used."""

        def estimate(x: Tensor, level: Level) -> Estimate:
            return denoiser.estimate(x, level, cond, control)

        return GuidedDenoiser(estimate)
