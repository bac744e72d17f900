"""One step of ancestral sampling, with each of its variances."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.guidance.base import GuidedDenoiser
from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.ddpm import DDPM, VARIANCES
from ldmlab.types import Denoise, Estimate, Level


class WithVariance:
    """A network that learned a variance."""

    def __init__(self, mix: float) -> None:
        self.mix = mix

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        raise AssertionError("the estimate comes with the variance")

    def with_variance(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        return torch.tanh(level.alpha * x + level.sigma), torch.full_like(x, self.mix)


def noise_of(sampler: DDPM, denoise: Denoise, x: Tensor, level: Level, lower: Level) -> Tensor:
    """What a step adds for a step noise of 1."""
    none = sampler.step(denoise, x, level, lower, SamplerHooks(step_noise=torch.zeros_like))
    return sampler.step(denoise, x, level, lower, SamplerHooks(step_noise=torch.ones_like)) - none


def test_each_variance(levels: Level, x: Tensor, denoise: Denoise) -> None:
    level, lower = levels[1], levels[2]
    abar, before = float(level.alpha**2), float(lower.alpha**2)
    beta = 1 - abar / before
    tilde = (1 - before) / (1 - abar) * beta
    wanted = {"fixed_small": tilde, "fixed_large": beta}
    for variance, value in wanted.items():
        found = noise_of(DDPM(variance=variance), denoise, x, level, lower)
        torch.testing.assert_close(found, torch.full_like(x, value**0.5))
    for mix in (0.0, 0.3, 1.0, 1.2):
        found = noise_of(DDPM(variance="learned"), WithVariance(mix), x, level, lower)
        torch.testing.assert_close(found, torch.full_like(x, (beta**mix * tilde ** (1 - mix)) ** 0.5))


@pytest.mark.parametrize("variance", VARIANCES)
def test_no_noise_is_added_to_clean_latents(variance: str, levels: Level, x: Tensor) -> None:
    def refuse(x: Tensor) -> Tensor:
        raise AssertionError("drawn")

    network = WithVariance(0.5)
    denoise = network if variance == "learned" else lambda x, level: network.with_variance(x, level)[0]
    out = DDPM(variance=variance).step(denoise, x, levels[3], levels[4], SamplerHooks(step_noise=refuse))
    torch.testing.assert_close(out, network.with_variance(x, levels[3])[0])


def test_a_variance_that_was_not_learned(levels: Level, x: Tensor, denoise: Denoise) -> None:
    told = "sampler.variance=learned: this model learned no variance; use fixed_small or fixed_large"
    with pytest.raises(ValueError, match=told):
        DDPM(variance="learned").step(denoise, x, levels[0], levels[1], SamplerHooks())


def test_an_unknown_variance() -> None:
    with pytest.raises(ValueError, match=r"sampler.variance=large: choose one of fixed_small, fixed_large, learned"):
        DDPM(variance="large")


@pytest.mark.parametrize("mix", [None, 0.3])
def test_auto_takes_the_variance_that_was_learned_if_one_was(mix: float | None, levels: Level, x: Tensor) -> None:
    def estimate(x: Tensor, level: Level) -> Estimate:
        denoised = torch.tanh(level.alpha * x + level.sigma)
        return Estimate(denoised, None if mix is None else torch.full_like(x, mix))

    denoise = GuidedDenoiser(estimate)
    wanted = DDPM(variance="fixed_small" if mix is None else "learned")
    hooks = SamplerHooks(step_noise=torch.ones_like)
    found = DDPM(variance="auto").step(denoise, x, levels[1], levels[2], hooks)
    assert torch.equal(found, wanted.step(denoise, x, levels[1], levels[2], hooks))
