"""No guidance: the conditional estimate as it is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.types import Conditioning, Denoise, Level


class NoGuidance:
    """One conditional pass a step."""

    def bind(
        self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None = None, control: Any = None
    ) -> Denoise:
        """See `Guidance.bind`; `uncond` is not used."""

        def denoise(x: Tensor, level: Level) -> Tensor:
            return denoiser(x, level, cond, control)

        return denoise
