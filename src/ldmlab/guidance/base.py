"""What a guidance method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.types import Conditioning, Estimate, Level


@dataclass(frozen=True)
class GuidedDenoiser:
    """`denoise(x (B,C,H,W), level) -> clean estimate (B,C,H,W)`: what a sampler calls."""

    estimate: Callable[[Tensor, Level], Estimate]

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """The clean estimate of x (B, C, H, W) at a level."""
        return self.estimate(x, level).denoised

    def with_variance(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """The clean estimate, and `Estimate.variance_mix` of the conditional pass.

        Raises:
            ValueError: the model learned no variance.
        """
        estimate = self.estimate(x, level)
        if estimate.variance_mix is None:
            raise ValueError(
                "sampler.variance=learned: this model learned no variance; use fixed_small or fixed_large, or train "
                "with objective=hybrid"
            )
        return estimate.denoised, estimate.variance_mix


class Guidance(ABC):
    """A way to lead sampling by a condition: it binds a denoiser to what is drawn and what is led away from."""

    @property
    def reads(self) -> frozenset[str]:
        """The keys of a batch that `opposite` reads."""
        return frozenset()

    @property
    def joint(self) -> bool:
        """Whether, without a control, the conditional and the unconditional estimate come from one pass of 2 B rows."""
        return False

    @abstractmethod
    def bind(
        self, denoiser: Denoiser, cond: Conditioning, uncond: Conditioning | None, control: Any = None
    ) -> GuidedDenoiser:
        """Return what a sampler calls.

        Args:
            denoiser: the model.
            cond: what to draw.
            uncond: what to lead away from: the null condition, a negative prompt's, or what `opposite` gave.
            control: sees the attention of the conditional pass.
        """

    def check(self, denoiser: Denoiser, channels: int, conditional: bool = True) -> None:  # noqa: B027 - refuses none
        """Refuse a model that this method cannot lead.

        Args:
            denoiser: the model.
            channels: of its latents.
            conditional: whether it is told anything beside the noisy latents.

        Raises:
            ValueError: the method needs what the model lacks.
        """

    def opposite(self, batch: Mapping[str, Any]) -> Conditioning | None:
        """The condition to bind as `uncond` where the method has one of its own; None for the model's null."""
        return None
