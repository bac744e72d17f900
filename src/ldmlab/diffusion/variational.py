"""The variational bound on -log p(latents), in bits per dimension (Ho et al. 2020, eq. 5; Nichol & Dhariwal 2021).

Shapes: B batch, S steps of the chain, C x H x W latents.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ldmlab.diffusion.process import interpolate, posterior_coefficients, posterior_variance, transition_variance
from ldmlab.diffusion.tables import Tables
from ldmlab.types import Level, broadcast

BIN = 2 / 255
"""Width of the bins that the last step's likelihood is of: an 8-bit step over [-1, 1], as in Ho et al. (2020)."""


class ReverseChain(Tables):
    """The Gaussian reverse steps along a grid of levels, on the device of the steps that are asked for.

    Steps are of shape (B,), on the device of the latents, or (): one for all, on the CPU. Step 0 is the noisiest, S - 1
    the one to clean latents.

    Args:
        levels: S + 1 levels, the noisiest first and the clean level last.

    Attributes:
        here: (S,) the level that each step starts from, on the CPU.
        log_upper: (S,) logarithm of sigma_ts^2, the variance for data that is pure noise; beta on neighbours.
        log_lower: (S,) logarithm of the posterior's variance, beta-tilde. It is 0 for the step to the clean level,
            which takes the value of the step before.
    """

    def __init__(self, levels: Level) -> None:
        self.here, following = levels[:-1], levels[1:]
        upper, lower = transition_variance(self.here, following), posterior_variance(self.here, following)
        lower[-1] = lower[-2]
        self.log_upper, self.log_lower = upper.log(), lower.log()
        x_weight, clean_weight = posterior_coefficients(self.here, following)
        tables = {
            "alpha": self.here.alpha,
            "sigma": self.here.sigma,
            "x_weight": x_weight,
            "clean_weight": clean_weight,
        }
        super().__init__(tables | {"log_upper": self.log_upper, "log_lower": self.log_lower})

    def __len__(self) -> int:
        return len(self.log_upper)

    def log_variance(self, steps: Int[Tensor, " #B"], mix: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Log-variance of the reverse steps, mix log_upper + (1 - mix) log_lower (Nichol & Dhariwal 2021, eq. 15)."""
        return interpolate(mix, *self._of(steps, mix, "log_lower", "log_upper"))

    def bits(
        self,
        steps: Int[Tensor, " #B"],
        latents: Float[Tensor, "B C H W"],
        x: Float[Tensor, "B C H W"],
        denoised: Float[Tensor, "B C H W"],
        mix: Float[Tensor, "B C H W"],
    ) -> Float[Tensor, " B"]:
        """The term of the bound for one step each, in bits per dimension.

        Args:
            steps: which.
            latents: clean.
            x: `latents` with the noise of each step's noisier level.
            denoised: what the model reads from `x`.
            mix: the model's variance, see `log_variance`; 0 everywhere is fixed small, 1 is fixed large.
        """
        x_weight, clean_weight = self._of(steps, x, "x_weight", "clean_weight")
        true_mean, mean = (x_weight * x + clean_weight * clean for clean in (latents, denoised))
        log_variance = self.log_variance(steps, mix)
        true_log_variance = self.log_variance(steps, torch.zeros_like(mix))
        nats = gaussian_kl(true_mean, true_log_variance, mean, log_variance)
        last = steps == len(self) - 1
        if last.ndim:
            nats = torch.where(last.view(-1, 1, 1, 1), binned_nll(latents, mean, log_variance), nats)
        elif last:
            nats = binned_nll(latents, mean, log_variance)
        return nats.flatten(1).mean(dim=1) / math.log(2)

    def prior_bits(self, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
        """KL(q(x_T | x_0) || N(0, 1)), which no training changes, in bits per dimension."""
        alpha, sigma = self.here[0].like(latents)
        zero = torch.zeros_like(latents)
        nats = gaussian_kl(alpha * latents, 2 * sigma.log() + zero, zero, zero)
        return nats.flatten(1).mean(dim=1) / math.log(2)

    def noisy(
        self, steps: Int[Tensor, " #B"], latents: Float[Tensor, "B C H W"], noise: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        """`latents` at the level that each step starts from."""
        alpha, sigma = self._of(steps, latents, "alpha", "sigma")
        return alpha * latents + sigma * noise

    def _of(self, steps: Tensor, x: Tensor, *names: str) -> tuple[Tensor, ...]:
        """Entries of tables, to be multiplied with `x`."""
        tables = self.beside(steps)
        return tuple(broadcast(tables[name].take(steps), x) for name in names)


def gaussian_kl(
    mean: Float[Tensor, "*shape"],
    log_variance: Float[Tensor, "*shape"],
    other_mean: Float[Tensor, "*shape"],
    other_log_variance: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """KL of one normal distribution from another, in nats, value by value."""
    ratio = torch.exp(log_variance - other_log_variance)
    distance = (mean - other_mean).square() * torch.exp(-other_log_variance)
    return 0.5 * (ratio - 1 + other_log_variance - log_variance + distance)


def binned_nll(
    latents: Float[Tensor, "*shape"], mean: Float[Tensor, "*shape"], log_variance: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """-log of a normal distribution's mass within `BIN` around the latents, in nats, value by value.

    For images the outermost bins are open (Ho et al. 2020, eq. 13). Latents have no outermost value, so none is here.
    """
    inverse_std = torch.exp(-0.5 * log_variance)
    distance = (latents - mean).abs()
    # Both ends in the lower tail, where the distribution function keeps its precision.
    upper = torch.special.log_ndtr((BIN / 2 - distance) * inverse_std)
    lower = torch.special.log_ndtr((-BIN / 2 - distance) * inverse_std)
    return -(upper + torch.log1p(-torch.exp(lower - upper)))
