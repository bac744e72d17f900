"""Every sampler with every parameterization, schedule, guidance and backbone; found by glob, so a new one is tried."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.cli import catalogue
from ldmlab.cli.compose import hydra_at_conf
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid, Objective
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.samplers.base import Sampler
from ldmlab.types import Conditioning

WIDTHS: dict[str, Any] = {"channels": 4, "grid": 8, "context_width": 6, "vector_width": 10, "out_channels": 8}
COND = Conditioning(torch.ones(2, 3, 6), None, torch.ones(2, 10))
UNCOND = COND.map(torch.zeros_like)
NOISE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
NOISY_ENDS = ("rectified_flow", "zero_terminal_snr")
PARAMETERIZATIONS = catalogue.options("parameterization")
SCHEDULES = [*catalogue.options("schedule"), "zero_terminal_snr"]
SAMPLERS = catalogue.options("sampler")


@cache
def composed(*overrides: str) -> DictConfig:
    with hydra_at_conf("train"):
        return compose("train", list(overrides))


@cache
def backbone(name: str) -> nn.Module:
    """A small network, all of whose weights do something, with an output for the variance."""
    torch.manual_seed(0)
    small = (
        DiT(width=32, depth=1, heads=2, **WIDTHS)
        if name == "dit"
        else UNet(model_channels=32, multipliers=(1, 2), residual_blocks=1, **WIDTHS)
    )
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return small.eval()


def denoiser(network: str, parameterization: str, schedule: str) -> Denoiser:
    choice = [f"parameterization={parameterization}"]
    choice += ["schedule.zero_terminal_snr=true"] if schedule == "zero_terminal_snr" else [f"schedule={schedule}"]
    config = composed(*choice)
    return Denoiser(
        backbone(network), instantiate(config.schedule), instantiate(config.parameterization), objective=Hybrid()
    )


def guidance(name: str, model: Denoiser) -> Guidance:
    if name == "autoguidance":
        return Autoguidance(2.0, model, lambda batch: UNCOND)
    return instantiate(composed(f"guidance={name}").guidance)


def sampler(name: str, steps: int, **changes: Any) -> Sampler:
    return instantiate(composed(f"sampler={name}").sampler, steps=steps, **changes)


def draw(chosen: Sampler, model: Denoiser, how: Guidance) -> torch.Tensor:
    return chosen.sample(how.bind(model, COND, UNCOND), NOISE, chosen.levels(model.schedule))


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_schedule_backbone_and_number_of_steps(name: str, parameterization: str) -> None:
    for schedule in SCHEDULES:
        if parameterization == "epsilon" and schedule in NOISY_ENDS:
            with pytest.raises(ValueError, match="the schedule ends in pure noise"):
                denoiser("dit", parameterization, schedule)
            continue
        for network in ("dit", "unet") if schedule == "scaled_linear" else ("dit",):
            model = denoiser(network, parameterization, schedule)
            for steps in (1, 2, 5):
                out = draw(sampler(name, steps), model, guidance("classifier_free", model))
                assert out.shape == NOISE.shape
                assert bool(torch.isfinite(out).all()), (schedule, network, steps)


@pytest.mark.parametrize("how", catalogue.options("guidance"))
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_guidance(name: str, how: str) -> None:
    model = denoiser("dit", "velocity", "cosine")
    method = guidance(how, model)
    torch.manual_seed(1)
    guided = draw(sampler(name, 4), model, method)
    torch.manual_seed(1)
    plain = draw(sampler(name, 4), model, guidance("none", model))
    assert bool(torch.isfinite(guided).all())
    assert torch.equal(guided, plain) == (how == "none")


@pytest.mark.parametrize("objective", catalogue.options("objective"))
@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_every_objective_trains_every_parameterization(parameterization: str, objective: str) -> None:
    made: Objective = instantiate(composed(f"objective={objective}").objective)
    config = composed(f"parameterization={parameterization}", "schedule=linear")
    widths = {**WIDTHS, "out_channels": 8 if made.learns_variance else 4}
    network = DiT(width=32, depth=1, heads=2, **widths)
    model = Denoiser(network, instantiate(config.schedule), instantiate(config.parameterization), made)
    level = model.schedule.level(torch.tensor([0, 700]))
    losses = model.loss(NOISE, NOISE.flip(0), level, COND)
    assert losses.shape == (2,)
    losses.sum().backward()
    assert bool(torch.isfinite(losses).all())
    assert network.final.weight.grad is not None
    assert bool(network.final.weight.grad.any())


@pytest.mark.parametrize("timesteps", catalogue.options("timestep_sampling"))
def test_every_distribution_over_timesteps_stays_among_them(timesteps: str) -> None:
    made = instantiate(composed(f"timestep_sampling={timesteps}").timestep_sampling)
    drawn = made.draw(500, 10, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert drawn.shape == (500,)
    assert 0 <= int(drawn.min()) < int(drawn.max()) <= 9


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned"])
def test_every_variance_of_ancestral_sampling(variance: str) -> None:
    model = denoiser("dit", "epsilon", "linear")
    outs = []
    for how in ("none", "classifier_free"):
        torch.manual_seed(2)
        outs.append(draw(sampler("ddpm", 4, variance=variance), model, guidance(how, model)))
    assert all(bool(torch.isfinite(out).all()) for out in outs)
    assert not torch.equal(*outs)
