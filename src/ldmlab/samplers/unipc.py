"""UniPC, a unified predictor-corrector of any order in clean estimates (Zhao et al. 2023).

With lambda = log(alpha / sigma), a step from t to s of width h = lambda_s - lambda_t is exactly

    x_s = sigma_s / sigma_t x_t + alpha_s h int_0^1 e^(-(1 - u) h) x_0(lambda_t + u h) du.

The predictor replaces x_0(lambda) by the polynomial through the last estimates; the corrector does the same again once
the estimate at s is known, which costs no further network call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ldmlab.samplers.base import MultistepSampler, SamplerHooks, Step
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Denoise, Level

ORDERS = (1, 2, 3)
VARIANTS = ("bh1", "bh2")


class UniPC(MultistepSampler):
    """One network call a step. The order rises from 1 over the first steps and falls to 1 on the last.

    Args:
        steps: S, at least 1.
        spacing: which levels are visited: "leading", "trailing", "linspace" or "karras".
        last_level: where the last step ends: "clean", or "least_noisy" for the schedule's timestep 0.
        order: 1, 2 or 3 estimates for a prediction; 2 for guided sampling, 3 for unguided.
        variant: the function B(h) in the weight B(h) / 2 of a single difference: "bh1" is h, "bh2" 1 - e^-h.

    Raises:
        ValueError: an order or a variant that is not known.
    """

    def __init__(
        self,
        steps: int = 50,
        spacing: str = "trailing",
        last_level: str = "clean",
        order: int = 2,
        variant: str = "bh2",
    ) -> None:
        super().__init__(steps, spacing, last_level)
        if order not in ORDERS:
            raise ValueError(f"sampler.order={order}: choose one of {', '.join(map(str, ORDERS))}")
        if variant not in VARIANTS:
            raise ValueError(f"sampler.variant={variant}: choose one of {', '.join(VARIANTS)}")
        self.order = order
        self.variant = variant

    def stepper(self, steps: int) -> Step:
        """A fresh step function for one run of `steps` steps, which remembers the last `order` clean estimates."""
        return _Run(self.order, self.variant, steps)


@dataclass(frozen=True)
class _Estimate:
    """A clean estimate and half the log-SNR at which it was made."""

    lambda_: Float64[Tensor, ""]
    denoised: Float[Tensor, "B *grid"]


class _Run:
    """The steps of one run. Remembers estimates only, so that any x may be given to it."""

    def __init__(self, order: int, variant: str, steps: int) -> None:
        self.order = order
        self.variant = variant
        self.remaining = steps
        self.past: list[_Estimate] = []  # what the last step was predicted from, newest first

    def __call__(self, denoise: Denoise, x: Tensor, level: Level, next_level: Level, hooks: SamplerHooks) -> Tensor:
        denoised = denoise(x, level)
        order = min(self.order, self.remaining)
        self.remaining -= 1
        if level.alpha == 0:  # lambda is -inf: nothing to correct or to extrapolate from
            return first_order(x, denoised, level, next_level)
        newest = _Estimate(level.log_snr / 2, denoised)
        if self.past:
            x = x + level.alpha * self._correction(newest)
        self.past = [newest, *self.past][:order]
        predicted = first_order(x, denoised, level, next_level)
        if len(self.past) == 1:
            return predicted
        return predicted + next_level.alpha * _beyond_first(self.past, next_level.log_snr / 2, self.variant)

    def _correction(self, newest: _Estimate) -> Tensor:
        """What the newest estimate changes of the step that led to it, as a share of alpha there."""
        corrected = _beyond_first([*self.past, newest], newest.lambda_, self.variant)
        if len(self.past) == 1:
            return corrected
        return corrected - _beyond_first(self.past, newest.lambda_, self.variant)


def _beyond_first(estimates: Sequence[_Estimate], end: Float64[Tensor, ""], variant: str) -> Tensor:
    """h int_0^1 e^(-(1 - u) h) (x_0(u) - x_0(0)) du; u is 0 at the first of at least two estimates and 1 at `end`."""
    start, *others = estimates
    h = end - start.lambda_
    nodes = torch.stack([(other.lambda_ - start.lambda_) / h for other in others])
    weights = _weights(nodes, h, variant) / nodes
    terms = [weight * (other.denoised - start.denoised) for weight, other in zip(weights, others, strict=True)]
    return torch.stack(terms).sum(dim=0)


def _weights(nodes: Float64[Tensor, " K"], h: Float64[Tensor, ""], variant: str) -> Float64[Tensor, " K"]:
    """Weights of (x_0(u_k) - x_0(0)) / u_k for K nodes u_k, exact for polynomials of degree K (theorem 3.1).

    A single difference gets B(h) / 2 instead, which is as exact up to higher orders of h.
    """
    if len(nodes) == 1:
        return (h if variant == "bh1" else -torch.expm1(-h)) / 2 * torch.ones_like(nodes)
    powers = torch.stack([nodes**k for k in range(len(nodes))])
    return torch.linalg.solve(powers, _moments(len(nodes), h))


def _moments(count: int, h: Float64[Tensor, ""]) -> Float64[Tensor, " K"]:
    """h int_0^1 e^(-(1 - u) h) u^n du for n = 1 ... K, by parts."""
    moment = -torch.expm1(-h)
    moments = []
    for n in range(1, count + 1):
        moment = 1 - n * moment / h
        moments.append(moment)
    return torch.stack(moments)
