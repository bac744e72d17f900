"""Classifier-free guidance at some noise levels only (Kynkäänniemi et al. 2024)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Conditioning, Estimate, Level


class Interval(ClassifierFree):
    """Guides where low < sigma / alpha <= high, and takes a single conditional pass elsewhere.

    Args:
        scale: how far to go from the unconditional estimate through the conditional one; 1 is neutral.
        low: noise ratio sigma / alpha below which details are left alone.
        high: noise ratio above which nothing is to be seen yet; null for no limit.
        convention: "scale", or "one_plus_w" where `scale` is w in (1 + w) cond - w uncond.
        rescale: share, in [0, 1], by which the conditional estimate's standard deviation is restored.
        guided_channels: lead only the first so many channels; None for all.

    Raises:
        ValueError: an empty interval, or an argument out of its range.
    """

    def __init__(
        self,
        scale: float,
        low: float = 0.0,
        high: float | None = None,
        convention: str = "scale",
        rescale: float = 0.0,
        guided_channels: int | None = None,
    ) -> None:
        super().__init__(scale, convention, rescale, guided_channels)
        self.low, self.high = low, math.inf if high is None else high
        if not 0 <= self.low < self.high:
            raise ValueError(f"guidance.low={low}, guidance.high={high}: give 0 <= low < high, as ratios sigma / alpha")

    def bind(
        self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None, control: Any = None
    ) -> GuidedDenoiser:
        """Return what a sampler calls: two conditions at levels inside the interval, `cond` alone outside.

        Args:
            denoiser: the model.
            cond: what to draw.
            uncond: what to lead away from: the null condition, or a negative prompt's.
            control: sees the attention of the conditional pass.

        Raises:
            ValueError: the scale is not neutral and there is nothing to draw or to lead away from.
        """
        guided = super().bind(denoiser, cond, uncond, control)
        unguided = NoGuidance().bind(denoiser, cond, None, control)

        def estimate(x: Tensor, level: Level) -> Estimate:
            inside = self._contains(level)
            if bool(inside.all()):
                return guided.estimate(x, level)
            outside = unguided.estimate(x, level)
            if not bool(inside.any()):
                return outside
            rows = inside.to(x.device).view(-1, *[1] * (x.ndim - 1))
            return Estimate(torch.where(rows, guided(x, level), outside.denoised), outside.variance_mix)

        return GuidedDenoiser(estimate)

    def _contains(self, level: Level) -> Tensor:
        ratio = level.sigma / level.alpha
        return (self.low < ratio) & (ratio <= self.high)
