"""Tables follow the model, whatever else happens to it on the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid, every_level
from ldmlab.diffusion.parameterizations import PosteriorMean
from ldmlab.diffusion.schedules import NoiseSchedule, cosine, linear, rectified_flow
from ldmlab.diffusion.tables import LevelTable, Tables
from ldmlab.diffusion.variational import ReverseChain
from ldmlab.types import Conditioning, Level

SCHEDULES = [linear(), cosine(50, zero_terminal_snr=True), rectified_flow(10, shift=3.0)]


class Two(nn.Module):
    """A network that gives its input twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
        return torch.cat([self.weight * x, x], dim=1)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["linear", "zero SNR", "flow"])
def test_they_say_what_the_schedule_says(schedule: NoiseSchedule) -> None:
    table, steps = LevelTable(schedule), torch.arange(-1, len(schedule))
    found, wanted = table.level(steps), schedule.level(steps)
    assert torch.equal(found.alpha, wanted.alpha)
    assert torch.equal(found.sigma, wanted.sigma)
    assert torch.equal(table.timesteps(wanted[1:]), steps[1:])
    one = schedule.level(torch.tensor(3))
    assert int(table.timesteps(Level(one.alpha.float(), one.sigma.float()))) == 3


def test_they_go_with_the_model_in_float64_and_are_in_no_state_dict() -> None:
    schedule = linear()
    model = Denoiser(Two(), schedule, PosteriorMean(schedule), Hybrid())
    assert {*model.state_dict()} == {"backbone.weight"}
    tables = [module for module in model.modules() if isinstance(module, Tables)]
    assert {type(each) for each in tables} == {LevelTable, ReverseChain}
    assert len(tables) == 3
    model.to("meta", torch.bfloat16)
    asked = torch.zeros(2, dtype=torch.long, device="meta")
    for each in tables:
        assert {(t.dtype, t.device.type) for t in each.beside(asked).values()} == {(torch.float64, "meta")}
    model.to_empty(device="cpu")
    assert torch.equal(model.levels.level(torch.tensor([5])).alpha, schedule.level(torch.tensor([5])).alpha)


def test_what_is_asked_elsewhere_is_answered_there() -> None:
    """On the CPU always, as for a sampler's levels; on another device from the first question on."""
    table = LevelTable(linear()).to("meta")
    assert float(table.level(torch.tensor(7)).sigma) == float(linear().level(torch.tensor(7)).sigma)
    chain = ReverseChain(every_level(linear(20)))
    x = torch.zeros(3, 2, 2, 2, device="meta")
    assert chain.noisy(torch.zeros(3, dtype=torch.long, device="meta"), x, x).device.type == "meta"


def test_one_step_for_all_is_that_step_for_each() -> None:
    chain = ReverseChain(every_level(linear(20)))
    latents, noise, guess, mix = torch.rand(4, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for step in (0, 7, 19):
        one, each = torch.tensor(step), torch.full((3,), step)
        x = chain.noisy(each, latents, noise)
        assert torch.equal(chain.noisy(one, latents, noise), x)
        assert torch.equal(chain.bits(one, latents, x, guess, mix), chain.bits(each, latents, x, guess, mix))
