"""A backbone, the levels it was trained on and the reading of its output, as one function to clean latents."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.diffusion.parameterizations import Parameterization
from ldmlab.diffusion.process import add_noise
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.types import Conditioning, Level


class Denoiser(nn.Module):
    """Estimates clean latents from noisy ones. Which integer timestep the backbone sees is known only here."""

    def __init__(self, backbone: nn.Module, schedule: NoiseSchedule, parameterization: Parameterization) -> None:
        super().__init__()
        self.backbone = backbone
        self.schedule = schedule
        self.parameterization = parameterization

    def forward(
        self, x: Float[Tensor, "B C H W"], level: Level, cond: Conditioning, control: Any = None
    ) -> Float[Tensor, "B C H W"]:
        """The clean latents estimated from `x` at `level`, of shape () or (B,)."""
        return self.parameterization.denoised(self.predict(x, level, cond, control), x, level)

    def predict(
        self, x: Float[Tensor, "B C H W"], level: Level, cond: Conditioning, control: Any = None
    ) -> Float[Tensor, "B C H W"]:
        """The backbone's raw output."""
        timesteps = self.schedule.timesteps(level).to(x.device).expand(len(x))
        return self.backbone(x, timesteps, cond, control)

    def loss(
        self, latents: Float[Tensor, "B C H W"], noise: Float[Tensor, "B C H W"], level: Level, cond: Conditioning
    ) -> Float[Tensor, " B"]:
        """Mean squared error of the prediction per sample: L_simple (Ho et al. 2020, eq. 14)."""
        prediction = self.predict(add_noise(latents, noise, level), level, cond)
        target = self.parameterization.target(latents, noise, level)
        return (prediction.float() - target.float()).square().flatten(1).mean(dim=1)
