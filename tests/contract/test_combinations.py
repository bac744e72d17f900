"""Every sampler with every parameterization, schedule, objective, guidance and backbone, on untrained networks.

Each is refused in a line that names a fix, or finite. Options are found by glob, so a new one is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.configs import catalogue
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid, Objective
from ldmlab.diffusion.parameterizations import Epsilon, Velocity
from ldmlab.diffusion.schedules import rectified_flow, scaled_linear
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.paths import conf_dir
from ldmlab.samplers.base import LAST_LEVELS, Sampler
from ldmlab.samplers.ddpm import DDPM, VARIANCES
from ldmlab.samplers.spacing import SPACINGS
from ldmlab.samplers.unipc import ORDERS
from ldmlab.types import Conditioning

from .options import section_of

WIDTHS: dict[str, Any] = {"channels": 4, "grid": 4, "context_width": 6, "vector_width": 10, "out_channels": 8}
COND = Conditioning(torch.ones(2, 3, 6), None, torch.ones(2, 10))
UNCOND = COND.map(torch.zeros_like)
NOISE = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
NEEDS_SIGNAL = ("epsilon", "posterior_mean")
NOISY_ENDS = ("rectified_flow", "zero_terminal_snr")
PARAMETERIZATIONS = catalogue.options("parameterization")
SCHEDULES = [*catalogue.options("schedule"), "zero_terminal_snr"]
SAMPLERS = catalogue.options("sampler")


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


def path_of(parameterization: str, schedule: str) -> DictConfig:
    """Sections of both. The last part of a schedule's name says that its last timestep is pure noise."""
    option, _, ends_in_noise = schedule.partition("+")
    levels = {**section_of("schedule", option), **({"zero_terminal_snr": True} if ends_in_noise else {})}
    return OmegaConf.create({"schedule": levels, "parameterization": section_of("parameterization", parameterization)})


def denoiser(network: str, parameterization: str, schedule: str) -> Denoiser:
    config = path_of(parameterization, "scaled_linear+zero" if schedule == "zero_terminal_snr" else schedule)
    return Denoiser(
        backbone(network), instantiate(config.schedule), instantiate(config.parameterization), objective=Hybrid()
    )


def guidance(name: str, model: Denoiser) -> Guidance:
    if name == "autoguidance":
        return Autoguidance(2.0, model, lambda batch: UNCOND)
    return instantiate(section_of("guidance", name))


def sampler(name: str, steps: int, **changes: Any) -> Sampler:
    return instantiate(section_of("sampler", name), steps=steps, **changes)


def draw(chosen: Sampler, model: Denoiser, how: Guidance) -> torch.Tensor:
    return chosen.sample(how.bind(model, COND, UNCOND), NOISE, chosen.levels(model.schedule))


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_schedule_backbone_and_number_of_steps(name: str, parameterization: str) -> None:
    for schedule in SCHEDULES:
        if parameterization in NEEDS_SIGNAL and schedule in NOISY_ENDS:
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


class Linear(nn.Module):
    """A network of one convolution, as fast as a test of thousands of drawings needs. Its variance stays in [-1, 1]."""

    def __init__(self, weight: float, learns_variance: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.learns_variance = learns_variance

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, cond: Conditioning, control: Any = None) -> Any:
        assert cond.vector is not None
        out = self.weight * (x + cond.vector[:, :1, None, None])
        return torch.cat([out, out.sin()], dim=1) if self.learns_variance else out


def has_zero_terminal_snr(schedule: str) -> bool:
    return "zero_terminal_snr" in (conf_dir() / f"schedule/{schedule}.yaml").read_text()


ALL_SCHEDULES = catalogue.options("schedule")
ALL_SCHEDULES += [f"{name}+zero" for name in filter(has_zero_terminal_snr, ALL_SCHEDULES)]
TRAINED = list(product(PARAMETERIZATIONS, ALL_SCHEDULES, catalogue.options("objective")))


def refusal(call: Callable[[], Any]) -> str | None:
    """What is said by a call that refuses."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def untrained(parameterization: str, schedule: str, objective: str, weight: float) -> Denoiser | None:
    """None where it is refused, which only a schedule that ends in pure noise gives a reason for."""
    config = path_of(parameterization, schedule)
    made: Objective = instantiate(section_of("objective", objective))
    levels, output = instantiate(config.schedule), instantiate(config.parameterization)
    parts = Linear(weight, made.learns_variance), levels, output, made
    told = refusal(lambda: Denoiser(*parts))
    assert (told is not None) == (parameterization in NEEDS_SIGNAL and parts[1].ends_in_noise)
    if told is None:
        return Denoiser(*parts)
    assert f"parameterization={parameterization}: " in told
    assert "use parameterization=velocity" in told
    return None


@pytest.mark.parametrize(("parameterization", "schedule", "objective"), TRAINED)
def test_every_objective_trains_every_parameterization_on_every_schedule(
    parameterization: str, schedule: str, objective: str
) -> None:
    model = untrained(parameterization, schedule, objective, 0.5)
    if model is None:
        return
    t = torch.tensor([0, 1, 500, len(model.schedule) - 2, len(model.schedule) - 1])
    latents = torch.randn(5, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    losses = model.loss(latents, latents.flip(0), t, COND[torch.zeros(5, dtype=torch.long)])
    losses.sum().backward()
    assert losses.shape == (5,)
    assert bool(torch.isfinite(losses).all())
    gradient = model.backbone.weight.grad
    assert bool(torch.isfinite(gradient))
    assert bool(gradient)


def variants(name: str) -> list[Sampler]:
    """A sampler of three steps with each spacing, each last level, and each value of its keys that are a choice."""
    base = section_of("sampler", name)
    choices = {"ddpm": ("variance", VARIANCES), "unipc": ("order", ORDERS), "ddim": ("eta", (0.0, 1.0))}
    key, values = choices.get(name, ("steps", (3,)))
    settings = product(SPACINGS, LAST_LEVELS, values)
    return [instantiate(base, **{"steps": 3, "spacing": s, "last_level": end, key: v}) for s, end, v in settings]


@pytest.fixture(scope="module")
def drawn() -> list[Sampler]:
    """All of them."""
    return [variant for name in SAMPLERS for variant in variants(name)]


@pytest.mark.parametrize(("parameterization", "schedule"), product(PARAMETERIZATIONS, ALL_SCHEDULES))
def test_what_is_composed_can_be_drawn_by_networks_that_have_learned_nothing(
    parameterization: str, schedule: str, drawn: list[Sampler]
) -> None:
    """By each sampler in each of its settings: with no output, as a new DiT's, and with some and a variance."""
    noise = torch.randn(2, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    how = instantiate(section_of("guidance", "rescaled"))
    for weight, objective in ((0.0, "simple"), (0.3, "hybrid")):
        model = untrained(parameterization, schedule, objective, weight)
        if model is None:
            continue
        how.check(model, 4)
        denoise = how.bind(model, COND, UNCOND)
        for chosen in drawn:
            told = refusal(lambda: chosen.check(model))  # noqa: B023
            if told is not None:
                assert "; use " in told
                assert model.schedule.ends_in_noise or (getattr(chosen, "variance", "") == "learned" and not weight)
                continue
            out = chosen.sample(denoise, noise, chosen.levels(model.schedule))
            assert bool(torch.isfinite(out).all()), vars(chosen)


def test_a_variance_that_was_not_learned_is_refused_before_drawing() -> None:
    model = Denoiser(Linear(0.0, False), scaled_linear(), Velocity())
    with pytest.raises(ValueError, match=r"sampler\.variance=learned: .*objective=hybrid"):
        DDPM(variance="learned").check(model)


def test_guidance_that_cannot_lead_a_model_is_refused_before_drawing() -> None:
    model = Denoiser(Linear(0.0, False), rectified_flow(), Velocity())
    for how in ("classifier_free", "interval", "rescaled"):
        made = instantiate(section_of("guidance", how))
        with pytest.raises(ValueError, match="an unconditional model has none; use guidance=none"):
            made.check(model, 4, conditional=False)
        with pytest.raises(ValueError, match=r"guidance\.guided_channels=5: the latents have 4 channels"):
            instantiate(section_of("guidance", how), guided_channels=5).check(model, 4)
    instantiate(section_of("guidance", "none")).check(model, 4, conditional=False)
    weak = Denoiser(Linear(0.0, False), scaled_linear(), Epsilon())
    ends_in_noise = Denoiser(Linear(0.0, False), scaled_linear(zero_terminal_snr=True), Velocity())
    with pytest.raises(ValueError, match="along another path"):
        Autoguidance(2.0, weak, lambda batch: UNCOND).check(model, 4)
    with pytest.raises(ValueError, match="ends in pure noise"):
        Autoguidance(2.0, weak, lambda batch: UNCOND).check(ends_in_noise, 4)
    Autoguidance(2.0, weak, lambda batch: UNCOND).check(weak, 4)


@pytest.mark.parametrize("timesteps", catalogue.options("timestep_sampling"))
def test_every_distribution_over_timesteps_stays_among_them(timesteps: str) -> None:
    made = instantiate(section_of("timestep_sampling", timesteps))
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
