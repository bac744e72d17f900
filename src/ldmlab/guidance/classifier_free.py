"""Classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Conditioning, Denoise, Level


class ClassifierFree:
    """uncond + scale (cond - uncond): scale 1 is neutral, 0 is unconditional.

    The paper writes (1 + w) cond - w uncond, which is the same with scale = 1 + w. Guiding clean estimates equals
    guiding predicted noises, because one is affine in the other at a given (x, level).
    """

    def __init__(self, scale: float) -> None:
        if not scale >= 0:
            raise ValueError(f"guidance.scale={scale}: the scale must be at least 0 (1 is neutral)")
        self.scale = scale

    def bind(self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None, control: Any = None) -> Denoise:
        """See `Guidance.bind`. Both halves share one pass, except under a control, which sees only the conditional."""
        if self.scale == 1:
            return NoGuidance().bind(denoiser, cond, uncond, control)
        if uncond is None:
            raise ValueError(
                "guidance 'classifier_free' needs a null condition and the conditioner gave none; use guidance=none"
            )
        if control is not None:
            return self._two_passes(denoiser, cond, uncond, control)
        return self._one_pass(denoiser, cond, uncond)

    def combine(self, cond: Tensor, uncond: Tensor) -> Tensor:
        """Extrapolate from the unconditional estimate through the conditional one."""
        return uncond + self.scale * (cond - uncond)

    def _one_pass(self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning) -> Denoise:
        both = Conditioning.cat([cond, uncond])

        def denoise(x: Tensor, level: Level) -> Tensor:
            return self.combine(*denoiser(torch.cat([x, x]), _twice(level), both).chunk(2))

        return denoise

    def _two_passes(self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning, control: Any) -> Denoise:
        def denoise(x: Tensor, level: Level) -> Tensor:
            return self.combine(denoiser(x, level, cond, control), denoiser(x, level, uncond))

        return denoise


def _twice(level: Level) -> Level:
    """The level of a batch followed by itself."""
    return level if level.alpha.ndim == 0 else Level(level.alpha.repeat(2), level.sigma.repeat(2))
