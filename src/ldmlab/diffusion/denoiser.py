"""A backbone, the levels it was trained on and the reading of its output, as one function to clean latents."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ldmlab.compiling import as_written
from ldmlab.diffusion.objectives import LossInputs, Objective, Simple, every_level
from ldmlab.diffusion.parameterizations import Parameterization, PosteriorMean
from ldmlab.diffusion.process import add_noise
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.diffusion.tables import LevelTable, bring_tables
from ldmlab.diffusion.variational import ReverseChain
from ldmlab.precision import HALF, at_least_fp32, autocast_is_on, weights_dtype
from ldmlab.types import Conditioning, Estimate, Level


class Denoiser(nn.Module):
    """Estimates clean latents from noisy ones. Which integer timestep the backbone sees is known only here.

    Args:
        backbone: gives C channels, or 2 C where the objective learns a variance.
        schedule: the levels that the backbone is trained on.
        parameterization: what its output means.
        objective: what it is trained by; L_simple if not given.

    Raises:
        ValueError: the schedule ends in pure noise, and the parameterization says nothing of latents there.
    """

    def __init__(
        self,
        backbone: nn.Module,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.schedule = schedule
        self.parameterization = parameterization
        self.objective = objective or Simple()
        self.require_readable(schedule)
        self.levels = LevelTable(schedule)
        self.chain = ReverseChain(every_level(schedule)) if self.learns_variance else None
        for weight in islice(backbone.parameters(), 1):
            bring_tables(self, weight)

    @property
    def learns_variance(self) -> bool:
        """Whether the backbone predicts the variance of reverse steps too: an estimate then has a `variance_mix`."""
        return self.objective.learns_variance

    def forward(
        self, x: Float[Tensor, "B C H W"], level: Level, cond: Conditioning, control: Any = None
    ) -> Float[Tensor, "B C H W"]:
        """The clean latents estimated from `x` at `level`, of shape () or (B,)."""
        return self.estimate(x, level, cond, control).denoised

    def estimate(self, x: Float[Tensor, "B C H W"], level: Level, cond: Conditioning, control: Any = None) -> Estimate:
        """The clean latents, and the variance of the reverse step where the model learned one."""
        prediction, mix = self._predict(x, self._timesteps(level, x), cond, control)
        return Estimate(self.parameterization.denoised(prediction, x, level), mix)

    def loss(
        self,
        latents: Float[Tensor, "B C H W"],
        noise: Float[Tensor, "B C H W"],
        timesteps: Int[Tensor, " B"],
        cond: Conditioning,
    ) -> Float[Tensor, " B"]:
        """The objective at timesteps in [0, T), one a sample, on the device of the latents."""
        level = self.levels.level(timesteps)
        x = add_noise(latents, noise, level)
        output = self._predict(x, timesteps, cond)
        return self.objective.loss(
            LossInputs(latents, noise, timesteps, level, x, *output, self.parameterization, self.chain)
        )

    def _timesteps(self, level: Level, x: Tensor) -> Int[Tensor, " B"]:
        """The nearest to a level, of shape () or (B,). One on the CPU reaches the device as an argument of its fill."""
        nearest = self.levels.timesteps(level)
        if nearest.ndim == 0:
            return x.new_zeros(len(x), dtype=torch.long) + nearest
        return nearest.to(x.device).expand(len(x))

    def _predict(
        self, x: Tensor, timesteps: Int[Tensor, " B"], cond: Conditioning, control: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """The backbone's output in fp32 at least, and that for the variance brought from [-1, 1] to [0, 1]."""
        x, cond = self._as_weights(x, cond)
        with as_written(control is not None):
            output = at_least_fp32(self.backbone(x, timesteps, cond, control))
        if not self.learns_variance:
            return output, None
        prediction, variance = output.chunk(2, dim=1)
        return prediction, (variance + 1) / 2

    def _as_weights(self, x: Tensor, cond: Conditioning) -> tuple[Tensor, Conditioning]:
        """What the backbone reads, in halves where its weights are held in halves; autocast sees to that itself."""
        dtype = weights_dtype(self.backbone)
        if dtype not in HALF.values() or autocast_is_on(x.device):
            return x, cond
        return x.to(dtype), cond.map(lambda field: field.to(dtype) if field.is_floating_point() else field)

    def require_readable(self, schedule: NoiseSchedule) -> None:
        """Refuse a schedule at whose noisiest level the prediction says (next to) nothing of clean latents.

        Raises:
            ValueError: it ends in pure noise, where predicted noise says nothing, and the mean of the step before so
                little that it is lost in rounding over the following steps.
        """
        noisiest, one = schedule.level(torch.tensor([len(schedule) - 1])), torch.ones(1, 1)
        lost = schedule.ends_in_noise and isinstance(self.parameterization, PosteriorMean)
        if lost or not bool(torch.isfinite(self.parameterization.denoised(one, 2 * one, noisiest)).all()):
            raise ValueError(
                f"parameterization={_key(self.parameterization)}: the schedule ends in pure noise "
                "(schedule=rectified_flow, schedule.zero_terminal_snr=true), where this prediction says nothing of the "
                "latents; use parameterization=velocity, flow_velocity or x0, or a schedule that keeps some signal"
            )


def _key(parameterization: Parameterization) -> str:
    """What a config calls it: PosteriorMean is posterior_mean."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(parameterization).__name__).lower()
