"""The loop: levels, hooks, and what it leaves alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import linear
from ldmlab.samplers.base import MultistepSampler, Sampler, SamplerHooks, Step
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.types import Denoise, Level


class Halving(Sampler):
    """Notes the levels of its steps and halves x in place, as badly as a sampler can behave."""

    def step(self, denoise: Denoise, x: Tensor, level: Level, next_level: Level, hooks: SamplerHooks) -> Tensor:
        self.visited = [*getattr(self, "visited", []), (float(level.sigma), float(next_level.sigma))]
        return x.mul_(0.5)


def test_levels_are_those_of_the_timesteps_and_end_clean() -> None:
    schedule = linear()
    levels = DDIM(steps=4, spacing="linspace").levels(schedule)
    assert len(levels) == 5
    wanted = schedule.alphas_cumprod[[999, 666, 333, 0]]
    torch.testing.assert_close(levels.alpha[:-1] ** 2, wanted)
    assert (float(levels.alpha[-1]), float(levels.sigma[-1])) == (1.0, 0.0)
    assert levels.alpha.dtype == torch.float64


def test_steps_go_down_the_levels_and_spare_the_callers_noise() -> None:
    sampler = Halving(3)
    levels = sampler.levels(linear())
    noise = torch.ones(2, 1)
    out = sampler.sample(lambda x, level: x, noise, levels)
    assert out.tolist() == [[0.125], [0.125]]
    assert noise.tolist() == [[1.0], [1.0]]
    sigmas = levels.sigma.tolist()
    assert sampler.visited == list(pairwise(sigmas))


def test_hooks_are_called_around_every_step_and_may_change_x() -> None:
    calls: list[tuple[str, int]] = []

    def after(step: int, x: Tensor) -> Tensor:
        calls.append(("after", step))
        return x + 1

    hooks = SamplerHooks(before_step=lambda step: calls.append(("before", step)), after_step=after)
    sampler = Halving(2)
    out = sampler.sample(lambda x, level: x, torch.zeros(1, 1), sampler.levels(linear()), hooks)
    assert calls == [("before", 0), ("after", 0), ("before", 1), ("after", 1)]
    assert out.tolist() == [[1.5]]


def test_sampling_keeps_no_graph() -> None:
    weight = torch.ones(1, requires_grad=True)
    sampler = DDPM(2)
    out = sampler.sample(lambda x, level: weight * x, torch.ones(1, 1), sampler.levels(linear()))
    assert not out.requires_grad


class Counting(MultistepSampler):
    """Adds the number of its step in the run to x, and notes the runs' lengths."""

    def stepper(self, steps: int) -> Step:
        self.runs = [*getattr(self, "runs", []), steps]
        taken = iter(range(1, steps + 1))
        return lambda denoise, x, level, next_level, hooks: x + next(taken)


def test_a_method_with_memory_gets_a_fresh_one_for_each_run() -> None:
    sampler = Counting(4)
    levels = sampler.levels(linear())
    for part, total in ((levels, 10), (levels[1:], 6)):
        assert sampler.sample(lambda x, level: x, torch.zeros(1, 1), part).item() == total
    assert sampler.step(lambda x, level: x, torch.zeros(1, 1), levels[0], levels[1], SamplerHooks()).item() == 1
    assert sampler.runs == [4, 3, 1]


def test_the_last_level_may_be_the_schedules_least_noisy() -> None:
    schedule = linear()
    levels = DDIM(4, last_level="least_noisy").levels(schedule)
    assert len(levels) == 5
    assert float(levels.alpha[-1]) == float(schedule.alphas_cumprod[0].sqrt())
    torch.testing.assert_close(levels.sigma[-1] ** 2, torch.tensor(1e-4, dtype=torch.float64))


def test_arguments_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match=r"sampler.last_level=dirty: choose one of clean, least_noisy"):
        DDIM(last_level="dirty")
    with pytest.raises(ValueError, match=r"sampler.spacing=even: choose one of leading, trailing, linspace, karras"):
        DDPM(spacing="even")
