"""q(x_t | x_0) and q(x_s | x_t, x_0) against closed forms worked out here by other routes."""

from __future__ import annotations

import pytest
import torch

from ldmlab.diffusion.process import (
    add_noise,
    interpolated_log_variance,
    posterior,
    posterior_std,
    posterior_variance,
    transition_variance,
)
from ldmlab.diffusion.schedules import NoiseSchedule, cosine, linear, scaled_linear
from ldmlab.types import Level

SCHEDULES = {"linear": linear(), "scaled_linear": scaled_linear(), "cosine": cosine()}
X = torch.linspace(-2, 2, 6, dtype=torch.float64).view(1, 6)
CLEAN = torch.linspace(3, -1, 6, dtype=torch.float64).view(1, 6)


def test_q_of_x_t_is_the_step_by_step_chain() -> None:
    """x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) z, so mean and variance follow a recursion over t."""
    schedule = linear(30, 0.01, 0.3)
    mean, variance = CLEAN.clone(), 0.0
    for t in range(30):
        beta = float(schedule.betas[t])
        mean, variance = (1 - beta) ** 0.5 * mean, (1 - beta) * variance + beta
        level = schedule.level(torch.tensor(t))
        torch.testing.assert_close(add_noise(CLEAN, torch.zeros_like(CLEAN), level), mean)
        torch.testing.assert_close(add_noise(torch.zeros_like(X), X, level), variance**0.5 * X)


def test_each_sample_has_its_own_level() -> None:
    schedule = linear()
    t = torch.tensor([0, 999])
    latents, noise = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    both = add_noise(latents, noise, schedule.level(t))
    for row in (0, 1):
        alone = add_noise(latents[row : row + 1], noise[row : row + 1], schedule.level(t[row]))
        assert torch.equal(both[row : row + 1], alone)
    assert both.dtype == torch.float32


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("t", [1, 2, 500, 999])
def test_posterior_of_neighbours_is_ddpms(name: str, t: int) -> None:
    """Ho et al. 2020, eq. 6 and 7, written in betas."""
    schedule: NoiseSchedule = SCHEDULES[name]
    beta = float(schedule.betas[t])
    abar, before = float(schedule.alphas_cumprod[t]), float(schedule.alphas_cumprod[t - 1])
    wanted_mean = before**0.5 * beta / (1 - abar) * CLEAN + (1 - beta) ** 0.5 * (1 - before) / (1 - abar) * X
    wanted_std = ((1 - before) / (1 - abar) * beta) ** 0.5
    mean, std = posterior(X, CLEAN, schedule.level(torch.tensor(t)), schedule.level(torch.tensor(t - 1)))
    torch.testing.assert_close(mean, wanted_mean, rtol=1e-8, atol=1e-10)
    assert float(std) == pytest.approx(wanted_std, rel=1e-8)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("t", "s"), [(999, 980), (700, 3), (1, 0), (999, 0)])
def test_posterior_of_any_two_levels_is_bayes(name: str, t: int, s: int) -> None:
    """x_s ~ N(alpha_s x_0, sigma_s^2) is the prior, x_t | x_s the likelihood: precisions add."""
    schedule = SCHEDULES[name]
    level, lower = schedule.level(torch.tensor(t)), schedule.level(torch.tensor(s))
    ratio = float(schedule.alphas_cumprod[t] / schedule.alphas_cumprod[s])
    prior_precision = 1 / float(lower.sigma) ** 2
    likelihood_precision = ratio / (1 - ratio)
    variance = 1 / (prior_precision + likelihood_precision)
    wanted = variance * (prior_precision * float(lower.alpha) * CLEAN + likelihood_precision * X / ratio**0.5)
    mean, std = posterior(X, CLEAN, level, lower)
    torch.testing.assert_close(mean, wanted, rtol=1e-8, atol=1e-9)
    assert float(std) == pytest.approx(variance**0.5, rel=1e-8)


def test_posterior_at_clean_latents_is_the_estimate() -> None:
    clean = Level(torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))
    mean, std = posterior(X, CLEAN, linear().level(torch.tensor(20)), clean)
    torch.testing.assert_close(mean, CLEAN)
    assert float(std) == 0


def test_posterior_with_a_level_a_sample() -> None:
    schedule = linear()
    x, clean = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    t, s = torch.tensor([900, 100]), torch.tensor([850, 50])
    mean, std = posterior(x, clean, schedule.level(t), schedule.level(s))
    assert std.shape == (2, 1, 1, 1)
    for row in (0, 1):
        one, one_std = posterior(x[row : row + 1], clean[row : row + 1], schedule.level(t[row]), schedule.level(s[row]))
        torch.testing.assert_close(mean[row : row + 1], one)
        torch.testing.assert_close(std[row : row + 1], one_std)


@pytest.mark.parametrize("name", SCHEDULES)
def test_variances_of_neighbours_are_beta_and_beta_tilde(name: str) -> None:
    schedule = SCHEDULES[name]
    t = torch.arange(1, 1000)
    level, lower = schedule.level(t), schedule.level(t - 1)
    torch.testing.assert_close(transition_variance(level, lower), schedule.betas[1:])
    tilde = (1 - schedule.alphas_cumprod[:-1]) / (1 - schedule.alphas_cumprod[1:]) * schedule.betas[1:]
    torch.testing.assert_close(posterior_variance(level, lower), tilde)


def test_no_variance_is_negative() -> None:
    level = linear().level(torch.arange(1000))
    assert float(transition_variance(level, level).min()) >= 0
    assert float(transition_variance(level, level).max()) < 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_learned_variance_lies_between_the_two_in_its_logarithm(dtype: torch.dtype) -> None:
    schedule = linear()
    level, lower = schedule.level(torch.tensor([900, 100])), schedule.level(torch.tensor([850, 50]))
    x = torch.zeros(2, 3, 2, 2, dtype=dtype)
    small, large = posterior_std(x, level, lower) ** 2, transition_variance(level, lower).to(dtype).view(2, 1, 1, 1)
    for share, wanted in [(0.0, small), (1.0, large), (0.5, (small * large).sqrt()), (-1.0, small**2 / large)]:
        found = interpolated_log_variance(torch.full_like(x, share), level, lower)
        assert found.dtype == dtype
        torch.testing.assert_close(found.exp(), wanted.expand_as(x))
