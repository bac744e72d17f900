"""Null-text inversion (Mokady et al. 2023): a null condition for each step that keeps guidance on the trajectory.

Shapes: C latent channels, H x W latent grid, S steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ldmlab.editing.inversion.base import InversionTask, Inverted
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.guided import require_null
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.interval import Interval
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Conditioning, Level

EMBEDDINGS = ("context", "vector")
"""The fields of a condition that are optimised; masks and pictures stay."""
SCALE = 2.0**14
"""Of gradients on their way: as they are they fall below what fp16 holds. In fp32 a power of two changes no digit."""


class NullText(DDIMInversion):
    """Optimises the null condition at each step, from the noisiest on, each starting from the one before.

    The defaults are the paper's at 50 steps; schedules go by the share of the steps, so that they mean the same for
    any number.

    Args:
        iterations: network calls a step of the walk back; one is DDIM inversion as published, more solve each step.
        inner_steps: the most steps of Adam at each step.
        learning_rate: of Adam, at the noisiest step; it falls to half at the last.
        tolerance: mean squared distance to the trajectory at which a step is done, at the noisiest step.
        tolerance_growth: how much larger that is at the last.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        iterations: int = 1,
        inner_steps: int = 10,
        learning_rate: float = 1e-2,
        tolerance: float = 1e-5,
        tolerance_growth: float = 1e-3,
    ) -> None:
        super().__init__(iterations)
        if inner_steps < 1:
            raise ValueError(f"inversion.inner_steps={inner_steps}: take at least 1, or use inversion=ddim")
        if not learning_rate > 0:
            raise ValueError(f"inversion.learning_rate={learning_rate}: must be above 0; 0.01 is the paper's")
        for key, value in {"tolerance": tolerance, "tolerance_growth": tolerance_growth}.items():
            if not value >= 0:
                raise ValueError(f"inversion.{key}={value}: a mean squared distance is at least 0")
        self.inner_steps = inner_steps
        self.learning_rate = learning_rate
        self.tolerance = tolerance
        self.tolerance_growth = tolerance_growth

    def invert(self, task: InversionTask) -> Inverted:
        """Walk back along the conditional estimate, and find null conditions that keep guidance on that walk.

        Raises:
            ValueError: the guidance leads away from no null condition, or not at every step.
        """
        guidance = require_null(task.guidance, "null_text")
        if isinstance(guidance, Interval):
            raise ValueError(
                "inversion=null_text: guidance=interval uses the null condition at some steps only; use "
                "guidance=classifier_free or inversion=direct"
            )
        inverted = super().invert(task)
        return replace(inverted, unconds=list(self._optimised(task, guidance, inverted.trajectory)))

    def _optimised(
        self, task: InversionTask, guidance: ClassifierFree, trajectory: Sequence[Tensor]
    ) -> Iterator[Conditioning]:
        x, uncond = trajectory[0], task.conditions.uncond
        if uncond is None:
            raise ValueError("inversion=null_text: there is no null condition to begin from; give guidance one")
        steps = len(task.levels) - 1
        for index in range(steps):
            step = _GuidedStep(task, guidance, x, task.levels[index], task.levels[index + 1])
            uncond = self._fit(step, uncond, trajectory[index + 1], index / steps)
            with torch.no_grad():
                x = step(uncond)
            yield uncond

    @torch.enable_grad()
    def _fit(self, step: _GuidedStep, uncond: Conditioning, wanted: Tensor, share: float) -> Conditioning:
        """The null condition with which a step leads (nearly) to where it should, at a share of all steps."""
        fields = {
            name: getattr(uncond, name).detach().clone().requires_grad_()
            for name in EMBEDDINGS
            if getattr(uncond, name) is not None
        }
        leaves = list(fields.values())
        optimizer = torch.optim.Adam(leaves, lr=self.learning_rate * (1 - share / 2))
        for _ in range(self.inner_steps):  # each waits for its loss: the paper stops as soon as it is small
            loss = F.mse_loss(step(replace(uncond, **fields)), wanted)
            if loss.item() < self.tolerance + self.tolerance_growth * share:
                break
            for leaf, gradient in zip(leaves, torch.autograd.grad(loss * SCALE, leaves), strict=True):
                leaf.grad = gradient / SCALE
            optimizer.step()
        return replace(uncond, **{name: field.detach() for name, field in fields.items()})


class _GuidedStep:
    """One step of the sampler from a given x, as a function of the null condition."""

    def __init__(
        self,
        task: InversionTask,
        guidance: ClassifierFree,
        x: Float[Tensor, "1 C H W"],
        level: Level,
        next_level: Level,
    ) -> None:
        self.task, self.guidance = task, guidance
        self.x, self.level, self.next_level = x, level, next_level
        with torch.no_grad():
            self.conditional = task.denoiser(x, level, task.conditions.cond)

    def __call__(self, uncond: Conditioning) -> Float[Tensor, "1 C H W"]:
        guided = self.guidance.combine(self.conditional, self.task.denoiser(self.x, self.level, uncond))
        return first_order(self.x, guided, self.level, self.next_level)
