"""Guidance by a weaker version of the model (Karras et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import Guidance, GuidedDenoiser
from ldmlab.guidance.classifier_free import two_passes
from ldmlab.types import Conditioning, Estimate, Level


class Autoguidance(nn.Module, Guidance):
    """weak + scale (strong - weak): both see the condition, so quality rises without a loss of variety.

    Args:
        scale: 1 is neutral.
        denoiser: of the weaker model, on the same latents: smaller, or trained for less long.
        conditioner: of the weaker model.
        latents: names the latents that it works on, to be compared with the stronger model's.

    Raises:
        ValueError: a negative scale.
    """

    def __init__(
        self,
        scale: float,
        denoiser: Denoiser,
        conditioner: Callable[[Mapping[str, Any]], Conditioning],
        latents: str | None = None,
    ) -> None:
        super().__init__()
        if not scale >= 0:
            raise ValueError(f"guidance.scale={scale}: the scale must be at least 0 (1 is neutral)")
        self.scale = scale
        self.denoiser = denoiser
        self.conditioner = conditioner
        self.latents = latents

    def check(self, denoiser: Denoiser, channels: int, conditional: bool = True) -> None:
        """See `Guidance.check`; the weaker model reads the same noisy latents at the same levels."""
        if self.denoiser.schedule.power != denoiser.schedule.power:
            raise ValueError(
                "guidance.ckpt: the weaker model mixes latents and noise along another path (schedule=rectified_flow "
                "and the others do not mix alike); give one of this model's schedule"
            )
        self.denoiser.require_readable(denoiser.schedule)

    def opposite(self, batch: Mapping[str, Any]) -> Conditioning:
        """The batch's own condition, as the weaker model reads it."""
        return self.conditioner(batch)

    def bind(
        self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None, control: Any = None
    ) -> GuidedDenoiser:
        """See `Guidance.bind`; `uncond` is what `opposite` gave."""
        if uncond is None:
            raise ValueError(
                "guidance 'autoguidance' needs the condition as its weaker model reads it; call `opposite`"
            )
        passes = two_passes(denoiser, cond, self.denoiser, uncond, control)

        def estimate(x: Tensor, level: Level) -> Estimate:
            strong, weak = passes(x, level)
            return Estimate(weak.denoised + self.scale * (strong.denoised - weak.denoised), strong.variance_mix)

        return GuidedDenoiser(estimate)
