"""Classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import Guidance, GuidedDenoiser
from ldmlab.guidance.none import NoGuidance
from ldmlab.types import Conditioning, Estimate, Level

CONVENTIONS = {"scale": 0.0, "one_plus_w": 1.0}
"""What each adds to the number that the user gives."""

UNCONDITIONAL = (
    "guidance=classifier_free: needs a condition and a null condition, and an unconditional model has none; use "
    "guidance=none"
)


class ClassifierFree(Guidance):
    """uncond + scale (cond - uncond): scale 1 is neutral, 0 is unconditional.

    Guiding clean estimates equals guiding predicted noises, because one is affine in the other at a given (x, level).

    Args:
        scale: how far to go from the unconditional estimate through the conditional one.
        convention: "scale" as above, or "one_plus_w": `scale` is w in (1 + w) cond - w uncond (the paper, the
            lecture), so that 0 is neutral.
        rescale: share, in [0, 1], by which the result is brought back to the conditional estimate's standard
            deviation, against colours that large scales overdo (Lin et al. 2024, section 3.4; 0.7 there).
        guided_channels: lead only the first so many channels and keep the conditional estimate in the others, as
            the reference implementation of DiT does with 3 of 4.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self, scale: float, convention: str = "scale", rescale: float = 0.0, guided_channels: int | None = None
    ) -> None:
        if convention not in CONVENTIONS:
            raise ValueError(f"guidance.convention={convention}: choose one of {', '.join(CONVENTIONS)}")
        least = 0 - CONVENTIONS[convention]
        if not scale >= least:
            neutral = least + 1
            raise ValueError(f"guidance.scale={scale}: the scale must be at least {least:g} ({neutral:g} is neutral)")
        if not 0 <= rescale <= 1:
            raise ValueError(f"guidance.rescale={rescale}: a share lies in [0, 1]; 0 is off, 0.7 is the paper's")
        if guided_channels is not None and guided_channels < 1:
            raise ValueError(f"guidance.guided_channels={guided_channels}: guide at least 1 channel, or null for all")
        self.scale = scale + CONVENTIONS[convention]
        self.rescale = rescale
        self.guided_channels = guided_channels

    @property
    def joint(self) -> bool:
        """Whether both estimates come from one pass of 2 B rows; a scale of 1 needs the conditional one alone."""
        return self.scale != 1

    def check(self, denoiser: Denoiser, channels: int, conditional: bool = True) -> None:
        """Refuse a model that this method cannot lead.

        Args:
            denoiser: the model.
            channels: of its latents.
            conditional: whether it is told anything beside the noisy latents.

        Raises:
            ValueError: the model is unconditional and the scale not neutral, or it has fewer channels than are guided.
        """
        if self.scale != 1 and not conditional:
            raise ValueError(UNCONDITIONAL)
        self._check_channels(channels)

    def bind(
        self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None, control: Any = None
    ) -> GuidedDenoiser:
        """Return what a sampler calls.

        Both estimates share one pass, except under a control, which sees the conditional one alone.

        Args:
            denoiser: the model.
            cond: what to draw.
            uncond: what to lead away from: the null condition, or a negative prompt's.
            control: sees the attention of the conditional pass.

        Raises:
            ValueError: the scale is not neutral and there is nothing to draw or to lead away from.
        """
        if self.scale == 1:
            return NoGuidance().bind(denoiser, cond, uncond, control)
        if uncond is None or cond.empty:
            raise ValueError(UNCONDITIONAL)
        one_pass = control is None and can_join(cond, uncond)
        passes = (
            _one_pass(denoiser, cond, uncond) if one_pass else two_passes(denoiser, cond, denoiser, uncond, control)
        )

        def estimate(x: Tensor, level: Level) -> Estimate:
            conditional, unconditional = passes(x, level)
            return Estimate(self.combine(conditional.denoised, unconditional.denoised), conditional.variance_mix)

        return GuidedDenoiser(estimate)

    def combine(self, cond: Float[Tensor, "B C H W"], uncond: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Extrapolate from the unconditional estimate through the conditional one."""
        guided = uncond + self.scale * (cond - uncond)
        if self.rescale:
            std = _std(guided).clamp(min=torch.finfo(guided.dtype).tiny)  # an untrained network's may be 0
            guided = guided * (self.rescale * _std(cond) / std + 1 - self.rescale)
        if self.guided_channels is not None:
            self._check_channels(cond.shape[1])
            guided = torch.cat([guided[:, : self.guided_channels], cond[:, self.guided_channels :]], dim=1)
        return guided

    def _check_channels(self, channels: int) -> None:
        if self.guided_channels is not None and self.guided_channels > channels:
            raise ValueError(
                f"guidance.guided_channels={self.guided_channels}: the latents have {channels} channels; give fewer, "
                "or null for all"
            )


Passes = Callable[[Tensor, Level], tuple[Estimate, Estimate]]


def two_passes(
    denoiser: Denoiser, cond: Conditioning, other: Denoiser, uncond: Conditioning, control: Any = None
) -> Passes:
    """The estimate of `denoiser`, which a control sees, and that of `other`, which it does not."""

    def passes(x: Tensor, level: Level) -> tuple[Estimate, Estimate]:
        return denoiser.estimate(x, level, cond, control), other.estimate(x, level, uncond)

    return passes


def _one_pass(denoiser: Denoiser, cond: Conditioning, uncond: Conditioning) -> Passes:
    both = Conditioning.cat([cond, uncond])

    def passes(x: Tensor, level: Level) -> tuple[Estimate, Estimate]:
        estimate = denoiser.estimate(torch.cat([x, x]), _twice(level), both)
        conditional, unconditional = estimate.denoised.chunk(2)
        mix = None if estimate.variance_mix is None else estimate.variance_mix[: len(x)]
        return Estimate(conditional, mix), Estimate(unconditional)

    return passes


def can_join(cond: Conditioning, uncond: Conditioning) -> bool:
    """Whether both fit in one batch: a negative prompt of another length does not."""
    return cond.context is None or uncond.context is None or cond.context.shape[1:] == uncond.context.shape[1:]


def _twice(level: Level) -> Level:
    """The level of a batch followed by itself."""
    return level if level.alpha.ndim == 0 else Level(level.alpha.repeat(2), level.sigma.repeat(2))


def _std(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 1 1"]:
    return x.std(dim=(1, 2, 3), keepdim=True)
