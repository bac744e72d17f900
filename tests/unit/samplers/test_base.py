"""The loop: levels, hooks, and what it leaves alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import linear
from ldmlab.samplers.base import Sampler, SamplerHooks
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


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_eta_outside_its_range(eta: float) -> None:
    with pytest.raises(ValueError, match=f"sampler.eta={eta}: eta must lie in"):
        DDIM(eta=eta)
