"""How fast each sampler's error falls with the width of its steps, on data whose best denoiser is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.dpm_solver_2m_sde import DPMSolver2MSDE
from ldmlab.samplers.euler import Euler
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import Level

FIRST, LAST = -1.5, 1.5  # log(alpha / sigma) of the noisiest and of the last level
START = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64).view(-1, 1)

Make = Callable[[int], Sampler]


def at(log_ratio: Tensor) -> Level:
    """The variance-preserving levels with log(alpha / sigma) as given."""
    return Level((2 * log_ratio).sigmoid().sqrt(), (-2 * log_ratio).sigmoid().sqrt())


def grid(steps: int) -> Level:
    return at(torch.linspace(FIRST, LAST, steps + 1, dtype=torch.float64))


def mixture(x: Tensor, level: Level) -> Tensor:
    """E[x_0 | x_t] where x_0 is N(-1, 0.3^2) three times in ten and N(0.6, 0.5^2) seven times."""
    weights, means, stds = torch.tensor([[0.3, 0.7], [-1.0, 0.6], [0.3, 0.5]], dtype=torch.float64)
    variance = level.alpha**2 * stds**2 + level.sigma**2
    beyond = x[..., None] - level.alpha * means
    belongs = (weights.log() - variance.log() / 2 - beyond**2 / variance / 2).softmax(-1)
    return (belongs * (means + level.alpha * stds**2 / variance * beyond)).sum(-1)


def flow(x: Tensor, steps: int = 2000) -> Tensor:
    """The probability flow of the mixture by the classical Runge-Kutta method: dy/du = x_0 - y, y = x / alpha."""

    def slope(y: Tensor, u: float) -> Tensor:
        level = at(torch.tensor(u, dtype=torch.float64))
        return mixture(level.alpha * y, level) - y

    h = (LAST - FIRST) / steps
    y = x / grid(1).alpha[0]
    for index in range(steps):
        u = FIRST + index * h
        k1 = slope(y, u)
        k2 = slope(y + h / 2 * k1, u + h / 2)
        k3 = slope(y + h / 2 * k2, u + h / 2)
        k4 = slope(y + h * k3, u + h)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y * grid(1).alpha[-1]


@pytest.fixture(scope="module")
def end() -> Tensor:
    reference = flow(START)
    assert float((flow(START, 1000) - reference).abs().max()) < 1e-11
    return reference


def orders(errors: list[float]) -> list[float]:
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


def of_order(order: int, **arguments: object) -> Make:
    return partial(UniPC, order=order, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "order"),
    [(DDIM, 1), (Euler, 1), (Heun, 2), (DPMSolver2M, 2), (of_order(1), 2), (of_order(2), 2), (of_order(3), 2)],
    ids=["ddim", "euler", "heun", "dpm_solver_2m", "unipc_1", "unipc_2", "unipc_3"],
)
def test_order_of_whole_runs(make: Make, order: int, end: Tensor) -> None:
    """UniPC's last step is of first order with an error of h^2, which limits a run that ends at a finite sigma to 2."""
    errors = []
    for steps in (20, 40, 80, 160):
        errors.append(float((make(steps).sample(mixture, START, grid(steps)) - end).abs().max()))
    assert orders(errors)[-1] == pytest.approx(order, abs=0.1)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize(("order", "least"), [(1, 1.9), (2, 2.9), (3, 3.2)])
def test_order_of_unipc_before_its_last_steps(order: int, least: float, variant: str, end: Tensor) -> None:
    """The corrector adds one to the predictor's order; the single first steps of lower order take some of it at 3."""
    errors = []
    for steps in (20, 40, 80):
        levels = grid(steps)
        step = UniPC(order=order, variant=variant).stepper(steps + 3)
        x = START
        for index in range(steps):
            x = step(mixture, x, levels[index], levels[index + 1], SamplerHooks())
        errors.append(float((x - end).abs().max()))
    assert min(orders(errors)) > least
    assert errors[-1] < {1: 2e-3, 2: 2e-4, 3: 1e-5}[order]


MEAN, STD = 0.7, 0.4


def gaussian(x: Tensor, level: Level) -> Tensor:
    """E[x_0 | x_t] where x_0 is N(MEAN, STD^2)."""
    variance = level.alpha**2 * STD**2 + level.sigma**2
    return MEAN + level.alpha * STD**2 / variance * (x - level.alpha * MEAN)


def response(sampler: Sampler, levels: Level) -> tuple[float, float, Tensor]:
    """A linear sampler's last x as offset + gain * first x + sum of weights * step noises, from one run.

    Row 0 is the offset, row 1 starts at 1, and row i + 2 has the i-th step noise at 1.
    """
    rows = len(levels) + 1
    drawn = iter(range(2, rows))

    def unit(x: Tensor) -> Tensor:
        noise = torch.zeros_like(x)
        noise[next(drawn)] = 1
        return noise

    start = torch.zeros(rows, 1, dtype=torch.float64)
    start[1] = 1
    out = sampler.sample(gaussian, start, levels, SamplerHooks(step_noise=unit))[:, 0]
    assert next(drawn, None) is None
    return float(out[0]), float(out[1] - out[0]), out[2:] - out[0]


def variance_errors(make: Make, counts: tuple[int, ...]) -> list[float]:
    """Error of the last variance from the right first one, and the right mean on the way."""
    errors = []
    for steps in counts:
        levels = grid(steps)
        offset, gain, weights = response(make(steps), levels)
        first, last = (float(levels.alpha[i] ** 2 * STD**2 + levels.sigma[i] ** 2) for i in (0, -1))
        assert offset + gain * float(levels.alpha[0]) * MEAN == pytest.approx(float(levels.alpha[-1]) * MEAN, rel=1e-10)
        errors.append(abs(gain**2 * first + float(weights.square().sum()) - last))
    return errors


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (DDPM, 1),
        (partial(DDPM, variance="fixed_large"), 1),
        (partial(DDIM, eta=1.0), 1),
        (partial(DDIM, eta=0.5), 1),
        (DPMSolver2MSDE, 2),
    ],
    ids=["ddpm", "ddpm_fixed_large", "ddim_eta_1", "ddim_eta_half", "dpm_solver_2m_sde"],
)
def test_weak_order_of_stochastic_samplers(make: Make, order: int) -> None:
    errors = variance_errors(make, (20, 40, 80, 160))
    assert orders(errors)[-1] == pytest.approx(order, abs=0.1)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("make", [DDPM, partial(DDIM, eta=1.0), DPMSolver2MSDE])
def test_ancestral_samplers_forget_the_noise_as_the_reverse_process_does(make: Make) -> None:
    """E[x_s | x_t] of Gaussian data has the slope alpha_ts var(x_s) / var(x_t), at any number of steps."""
    levels = grid(9)
    first, last = (float(levels.alpha[i] ** 2 * STD**2 + levels.sigma[i] ** 2) for i in (0, -1))
    wanted = float(levels.alpha[0] / levels.alpha[-1]) * last / first
    assert response(make(9), levels)[1] == pytest.approx(wanted, rel=1e-10)
