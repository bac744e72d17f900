"""Ancestral sampling (Ho et al. 2020, algorithm 2), on any grid of levels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.process import interpolated_log_variance, posterior, transition_variance
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import Denoise, Estimate, Level

VARIANCES = ("fixed_small", "fixed_large", "learned", "auto")
UNLEARNED = (
    "sampler.variance=learned: this model learned no variance; use fixed_small or fixed_large, or train with "
    "objective=hybrid"
)


class DDPM(Sampler):
    """Draws x_s around the mean of q(x_s | x_t, x_0 = clean estimate); takes that mean itself where s is clean.

    Args:
        steps: S, at least 1.
        spacing: which levels are visited: "leading", "trailing", "linspace" or "karras".
        last_level: where the last step ends: "clean", or "least_noisy" for the schedule's timestep 0.
        variance: "fixed_small" is the posterior's, beta-tilde; "fixed_large" that of q(x_t | x_s), beta, both of the
            step on this grid; "learned" what the network predicts between the two (Nichol & Dhariwal 2021, eq. 15);
            "auto" the learned one where the model has one, else "fixed_small".

    Raises:
        ValueError: a variance that is not known.
    """

    def __init__(
        self,
        steps: int = 50,
        spacing: str = "trailing",
        last_level: str = "clean",
        variance: str = "fixed_small",
    ) -> None:
        super().__init__(steps, spacing, last_level)
        if variance not in VARIANCES:
            raise ValueError(f"sampler.variance={variance}: choose one of {', '.join(VARIANCES)}")
        self.variance = variance

    def check(self, denoiser: Denoiser) -> None:
        """Refuse a model that this method cannot draw from.

        Raises:
            ValueError: its schedule does not have the levels, or it lacks the learned variance that is asked for.
        """
        super().check(denoiser)
        if self.variance == "learned" and not denoiser.learns_variance:
            raise ValueError(UNLEARNED)

    def step(
        self, denoise: Denoise, x: Float[Tensor, "B *grid"], level: Level, next_level: Level, hooks: SamplerHooks
    ) -> Float[Tensor, "B *grid"]:
        """Draw x_s from N(mean of q(x_s | x_t, x_0 = clean estimate), variance); take the mean itself where s is clean.

        Raises:
            ValueError: the variance is to be learned, and `denoise` has no method `with_variance(x, level)` that
                returns the clean estimate and the share of beta in the logarithm of the variance.
        """
        denoised, mix = self._estimated(denoise, x, level)
        mean, std = posterior(x, denoised, level, next_level)
        if mix is not None:
            std = (interpolated_log_variance(mix, level, next_level) / 2).exp()
        if self.variance == "fixed_large":
            std = transition_variance(level, next_level).sqrt()
        wide = 0 < next_level.sigma < level.sigma  # a step of no width has no variance, and no logarithm of it
        return mean + std * hooks.step_noise(x) if wide else mean

    def _estimated(self, denoise: Denoise, x: Tensor, level: Level) -> tuple[Tensor, Tensor | None]:
        """The clean estimate, and the learned variance where that is wanted."""
        if self.variance == "learned":
            return _with_variance(denoise, x, level)
        if self.variance == "auto" and (estimate := getattr(denoise, "estimate", None)) is not None:
            made: Estimate = estimate(x, level)
            return made.denoised, made.variance_mix
        return denoise(x, level), None


def _with_variance(denoise: Denoise, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    with_variance = getattr(denoise, "with_variance", None)
    if with_variance is None:
        raise ValueError(UNLEARNED)
    return with_variance(x, level)
