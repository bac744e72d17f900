"""What holds for every sampler as its yaml configures it: no state between runs, hooks honoured, any start. By glob."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from ldmlab.configs import catalogue
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.diffusion.schedules import linear, scaled_linear
from ldmlab.samplers.base import LAST_LEVELS, Sampler, SamplerHooks
from ldmlab.samplers.spacing import SPACINGS
from ldmlab.types import Level

NAMES = catalogue.options("sampler")
SHAPE = (2, 3, 2, 2)


@cache
def section(name: str) -> DictConfig:
    with hydra_at_conf("sample"):
        return compose("sample", [f"sampler={name}"]).sampler


def build(name: str, **arguments: Any) -> Sampler:
    return instantiate(section(name), **arguments)


def normal(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def denoise(x: Tensor, level: Level) -> Tensor:
    """Some smooth function of x and the level, also where alpha is 0."""
    return torch.tanh(level.alpha * x + level.sigma) + 0.2 * level.alpha * x.roll(1, dims=-1)


def by_level(x: Tensor, level: Level) -> Tensor:
    """An estimate that x has no part in."""
    return (1 + level.sigma).square() * torch.ones_like(x)


def hooks(seed: int = 1, **others: Any) -> SamplerHooks:
    generator = torch.Generator().manual_seed(seed)
    return SamplerHooks(
        step_noise=lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype),
        **others,
    )


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_one_sampler_do_not_meet(name: str) -> None:
    sampler = build(name, steps=6)
    levels = sampler.levels(scaled_linear())
    before = dict(vars(sampler))
    one = sampler.sample(denoise, normal(1), levels, hooks(1))
    other = sampler.sample(denoise, normal(2), levels[2:], hooks(2))

    def run_another(step: int, x: Tensor) -> Tensor:
        assert torch.equal(sampler.sample(denoise, normal(2), levels[2:], hooks(2)), other)
        return x

    assert torch.equal(sampler.sample(denoise, normal(1), levels, hooks(1, after_step=run_another)), one)
    assert vars(sampler) == before


@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_changed_x_is_gone_on_with(name: str, at: int) -> None:
    """The rest of the run carries two values of x apart as a run that begins with them does."""
    sampler = build(name, steps=6)
    levels = sampler.levels(scaled_linear())[:-1]

    def through_the_hook(value: float) -> Tensor:
        def replace(step: int, x: Tensor) -> Tensor:
            return torch.full_like(x, value) if step == at else x

        return sampler.sample(by_level, normal(0), levels, hooks(after_step=replace))

    def from_there(value: float) -> Tensor:
        return sampler.sample(by_level, torch.full(SHAPE, value, dtype=torch.float64), levels[at + 1 :], hooks())

    apart = through_the_hook(3.0) - through_the_hook(-1.0)
    torch.testing.assert_close(apart, from_there(3.0) - from_there(-1.0), rtol=1e-9, atol=1e-9)
    assert 0 < float(apart.min()) <= 4


@pytest.mark.parametrize("name", NAMES)
def test_the_callers_tensors_are_left_alone(name: str) -> None:
    """Neither the noise nor an x that a hook keeps is written to, and a hook may write to its x."""
    sampler = build(name, steps=4)
    levels = sampler.levels(linear())
    noise, kept = normal(0), []

    def keep(step: int, x: Tensor) -> Tensor:
        kept.append((x, x.clone()))
        return x

    out = sampler.sample(denoise, noise, levels, hooks(after_step=keep))
    assert torch.equal(noise, normal(0))
    assert all(torch.equal(x, copy) for x, copy in kept)
    in_place = sampler.sample(denoise, noise, levels, hooks(after_step=lambda step, x: x.mul_(0.9)))
    anew = sampler.sample(denoise, noise, levels, hooks(after_step=lambda step, x: x * 0.9))
    assert torch.equal(in_place, anew)
    assert not torch.allclose(in_place, out)


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
@pytest.mark.parametrize("name", NAMES)
def test_pure_noise_is_a_start(name: str, steps: int) -> None:
    """Zero terminal SNR: alpha is 0 at the first level, and x there says nothing of the latents."""
    sampler = build(name, steps=steps)
    levels = sampler.levels(scaled_linear())
    alpha, sigma = levels.alpha.clone(), levels.sigma.clone()
    alpha[0], sigma[0] = 0, 1
    out = sampler.sample(denoise, normal(0), Level(alpha, sigma), hooks())
    assert bool(torch.isfinite(out).all())
    assert float(out.abs().max()) < 3
    if steps == 1:
        torch.testing.assert_close(out, denoise(normal(0), Level(torch.tensor(0.0), torch.tensor(1.0))))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("last_level", LAST_LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_every_grid_is_gone_down(name: str, last_level: str, spacing: str) -> None:
    """With a network that is sure, an x of the first level becomes one of the last."""
    schedule = scaled_linear()
    for steps in (1, 2, 9):
        sampler = build(name, steps=steps, spacing=spacing, last_level=last_level)
        levels = sampler.levels(schedule)
        answer = normal(5)
        start = levels.alpha[0] * answer + levels.sigma[0] * normal(0)
        out = sampler.sample(lambda x, level: answer, start, levels, hooks())  # noqa: B023
        noise = (out - levels.alpha[-1] * answer) / levels.sigma[-1].clamp(min=1e-6)
        if last_level == "clean":
            torch.testing.assert_close(out, answer)
        else:
            assert 0.4 < float(noise.std()) < 1.8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_the_dtype_of_x_is_kept(name: str, dtype: torch.dtype) -> None:
    """Coefficients are float64, and applied in the dtype of x, to about its precision."""
    sampler = build(name, steps=5)
    levels = sampler.levels(scaled_linear())
    generator = torch.Generator().manual_seed(1)
    exact = sampler.sample(denoise, normal(0), levels, hooks())

    def step_noise(x: Tensor) -> Tensor:
        assert x.dtype == dtype
        return torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)

    out = sampler.sample(denoise, normal(0).to(dtype), levels, SamplerHooks(step_noise=step_noise))
    assert out.dtype == dtype
    tolerance = 40 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance)
