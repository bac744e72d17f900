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

    @property
    def reads(self) -> frozenset[str]:
        """What the weaker model's conditioner reads."""
        return getattr(self.conditioner, "reads", frozenset())

    def check(self, denoiser: Denoiser, channels: int, conditional: bool = True) -> None:
        """Refuse a model that the weaker one cannot guide.

        Raises:
            ValueError: the weaker model mixes latents and noise along another path, or its prediction says nothing at
                one of the model's levels.
        """
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
        """Return what a sampler calls: each estimate takes a pass of both models.

        Args:
            denoiser: the stronger model.
            cond: what to draw, as the stronger model reads it.
            uncond: the same as the weaker model reads it, as `opposite` gives it.
            control: sees the attention of the stronger model's pass.

        Raises:
            ValueError: `uncond` is None.
        """
        if uncond is None:
            raise ValueError(
                "guidance 'autoguidance' needs the condition as its weaker model reads it; call `opposite`"
            )
        passes = two_passes(denoiser, cond, self.denoiser, uncond, control)

        def estimate(x: Tensor, level: Level) -> Estimate:
            strong, weak = passes(x, level)
            return Estimate(weak.denoised + self.scale * (strong.denoised - weak.denoised), strong.variance_mix)

        return GuidedDenoiser(estimate)
