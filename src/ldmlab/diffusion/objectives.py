"""Training losses of a denoiser, (B,) each.

Shapes: B batch, C x H x W latents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ldmlab.diffusion.parameterizations import Parameterization, clean_error_scale
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.diffusion.variational import ReverseChain
from ldmlab.types import Level


@dataclass(frozen=True)
class LossInputs:
    """What a loss is computed from: noisy samples, what they were made from, and what the network made of them.

    Attributes:
        latents: clean latents of unit variance.
        noise: N(0, 1) noise that was mixed in.
        timesteps: of the schedule, one a sample.
        level: the noise levels of the timesteps, (B,).
        x: alpha latents + sigma noise.
        prediction: the network's output, without the channels for the variance.
        variance_mix: the network's share of beta in the log-variance, see `Estimate`; None where it learns no variance.
        parameterization: what the prediction means.
        chain: the reverse steps between the levels that the network is trained on, the noisiest first; None where it
            learns no variance.
    """

    latents: Float[Tensor, "B C H W"]
    noise: Float[Tensor, "B C H W"]
    timesteps: Int[Tensor, " B"]
    level: Level
    x: Float[Tensor, "B C H W"]
    prediction: Float[Tensor, "B C H W"]
    variance_mix: Float[Tensor, "B C H W"] | None
    parameterization: Parameterization
    chain: ReverseChain | None

    @property
    def learned_variance(self) -> tuple[ReverseChain, Float[Tensor, "B C H W"]]:
        """`chain` and `variance_mix`.

        Raises:
            ValueError: the network learns no variance.
        """
        if self.chain is None or self.variance_mix is None:
            raise ValueError("objective: reads a learned variance, and this network learns none")
        return self.chain, self.variance_mix


class Objective(ABC):
    """What a denoiser is trained to make small.

    Attributes:
        learns_variance: whether the network's output has as many channels again for the variance.
    """

    learns_variance = False

    @abstractmethod
    def loss(self, inputs: LossInputs) -> Float[Tensor, " B"]:
        """The loss of each sample of a batch, not yet averaged."""


class Simple(Objective):
    """L_simple, the mean squared error of the prediction (Ho et al. 2020, eq. 14)."""

    def loss(self, inputs: LossInputs) -> Float[Tensor, " B"]:
        """The mean squared difference between prediction and target, over a sample's values."""
        target = inputs.parameterization.target(inputs.latents, inputs.noise, inputs.level)
        return (inputs.prediction - target).square().flatten(1).mean(dim=1)


class MinSNR(Simple):
    """L_simple, weighed so that the error of clean latents counts min(SNR, gamma) (Hang et al. 2023, eq. 7).

    That makes min(SNR, gamma) / SNR for epsilon, min(SNR, gamma) / (SNR + 1) for v and min(SNR, gamma) for x_0.

    Args:
        gamma: the weight of clean latents at most; 5 in the paper.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise ValueError(f"objective.gamma={gamma}: the largest weight must be above 0; 5 is the paper's")
        self.gamma = gamma

    def loss(self, inputs: LossInputs) -> Float[Tensor, " B"]:
        """L_simple times `weight` at each sample's level."""
        simple = super().loss(inputs)
        return self.weight(inputs.level, inputs.parameterization).to(simple) * simple

    def weight(self, level: Level, parameterization: Parameterization) -> Float[Tensor, " B"]:
        """The factor of L_simple at each level."""
        snr = (level.alpha / level.sigma).square()
        return snr.clamp(max=self.gamma) / clean_error_scale(parameterization, level).square()


class Hybrid(Simple):
    """L_simple for the mean, plus the variational bound in bits for the variance (Nichol & Dhariwal 2021, eq. 16).

    DiT's objective. The bound's term weighs T / 1000, and its gradient does not reach the mean.
    """

    learns_variance = True

    def loss(self, inputs: LossInputs) -> Float[Tensor, " B"]:
        """L_simple plus the variational bound's term for the sample's step, in bits a dimension, times T / 1000."""
        chain, mix = inputs.learned_variance
        denoised = inputs.parameterization.denoised(inputs.prediction.detach(), inputs.x, inputs.level)
        bits = chain.bits(len(chain) - 1 - inputs.timesteps, inputs.latents, inputs.x, denoised, mix)
        return super().loss(inputs) + len(chain) / 1000 * bits


def every_level(schedule: NoiseSchedule) -> Level:
    """All T levels of a schedule, the noisiest first, then the clean one."""
    return schedule.level(torch.arange(len(schedule) - 1, -2, -1))
