"""Our samplers and diffusers' schedulers, on the same timesteps, network and noise.

Where diffusers keeps its levels in float32, they are replaced by ours, after a test that the two agree.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon, Parameterization, Velocity
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.dpm_solver_2m_sde import DPMSolver2MSDE
from ldmlab.samplers.euler import Euler
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.spacing import TIMESTEP_SPACINGS
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import Conditioning, Denoise, Level

pytest.importorskip("diffusers", exc_type=ImportError)

import diffusers.schedulers as library
from diffusers.schedulers import scheduling_ddpm

SCHEDULE = scaled_linear()
SHAPE = (2, 4, 3, 3)
COMMON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
STEPS = [1, 2, 7, 20, 50]
PREDICTIONS: dict[str, Parameterization] = {"epsilon": Epsilon(), "v_prediction": Velocity()}


class Network(nn.Module):
    """Some smooth function of x and t."""

    def forward(self, x: Tensor, timesteps: Tensor, cond: Any = None, control: Any = None) -> Tensor:
        t = timesteps.to(x.dtype).view(-1, 1, 1, 1) / 1000
        return torch.tanh(x * (0.5 + t)) + 0.3 * torch.sin(5 * t) + 0.1 * x.roll(1, dims=-1)


class LearnedVariance:
    """A denoise function with a variance, which leaves [0, 1] as a network's does."""

    def __init__(self, denoise: Denoise) -> None:
        self.denoise = denoise

    def with_variance(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        return self.denoise(x, level), (self.raw(x) + 1) / 2

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        raise AssertionError("a second network call")

    @staticmethod
    def raw(x: Tensor) -> Tensor:
        return 1.5 * torch.sin(3 * x)


def normal(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Noises:
    """The same step noises for both sides, none where diffusers draws one on the step to clean latents."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.drawn = 0

    def __call__(self, *_: Any, **__: Any) -> Tensor:
        self.drawn += 1
        return normal(self.drawn) * (self.drawn < self.steps)


def denoise(prediction: str) -> Denoise:
    denoiser = Denoiser(Network(), SCHEDULE, PREDICTIONS[prediction])
    return lambda x, level: denoiser(x, level, Conditioning())


def ours(sampler: Sampler, prediction: str = "epsilon") -> Tensor:
    function = denoise(prediction)
    if getattr(sampler, "variance", "") == "learned":
        function = LearnedVariance(function)
    hooks = SamplerHooks(step_noise=Noises(sampler.steps))
    return sampler.sample(function, normal(0), sampler.levels(SCHEDULE), hooks)


def prepared(scheduler: Any, sampler: Sampler) -> Any:
    """The scheduler on our grid in float64, for those that keep noise ratios."""
    scheduler.alphas_cumprod = SCHEDULE.alphas_cumprod
    scheduler.set_timesteps(sampler.steps)
    levels = sampler.levels(SCHEDULE)
    scheduler.timesteps = SCHEDULE.timesteps(levels[:-1])
    scheduler.sigmas = levels.sigma / levels.alpha
    return scheduler


def theirs(scheduler: Any, **arguments: Any) -> Tensor:
    network, x = Network(), normal(0)
    for t in scheduler.timesteps:
        prediction = network(x, t.expand(len(x)))
        x = scheduler.step(prediction, int(t), x, **arguments).prev_sample
    return x


def assert_same(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Relative to the largest value."""
    assert found.dtype == torch.float64
    assert float((found - wanted).abs().max() / wanted.abs().max()) < tolerance


@pytest.mark.parametrize("spacing", TIMESTEP_SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_timesteps(steps: int, spacing: str) -> None:
    scheduler = library.DDPMScheduler(**COMMON, steps_offset=1, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    levels = DDPM(steps, spacing).levels(SCHEDULE)
    wanted = scheduler.timesteps.tolist()
    if (spacing, steps) == ("linspace", 1):
        wanted = [999]  # one step from the least noisy level, as there, would start from clean latents
    assert SCHEDULE.timesteps(levels[:-1]).tolist() == wanted


@pytest.mark.parametrize("last_level", ["clean", "least_noisy"])
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
@pytest.mark.parametrize("steps", STEPS)
def test_noise_ratios(steps: int, spacing: str, last_level: str) -> None:
    scheduler = library.DPMSolverMultistepScheduler(
        **COMMON,
        timestep_spacing="trailing",
        use_karras_sigmas=spacing == "karras",
        final_sigmas_type={"clean": "zero", "least_noisy": "sigma_min"}[last_level],
    )
    scheduler.set_timesteps(steps)
    levels = DPMSolver2M(steps, spacing, last_level).levels(SCHEDULE)
    torch.testing.assert_close((levels.sigma / levels.alpha).float(), scheduler.sigmas, rtol=2e-5, atol=0)
    assert SCHEDULE.timesteps(levels[:-1]).tolist() == scheduler.timesteps.tolist()


@pytest.mark.parametrize("last_level", ["clean", "least_noisy"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("steps", "spacing"),
    [(1, "trailing"), (2, "trailing"), (20, "trailing"), (50, "trailing"), (7, "leading"), (50, "leading")],
)
def test_ddim(steps: int, spacing: str, eta: float, prediction: str, last_level: str) -> None:
    """Theirs takes t - T // S for the timestep before, which is not so for 7 trailing steps."""
    scheduler = library.DDIMScheduler(
        **COMMON,
        clip_sample=False,
        steps_offset=1,
        timestep_spacing=spacing,
        set_alpha_to_one=last_level == "clean",
        prediction_type=prediction,
    )
    scheduler.alphas_cumprod = SCHEDULE.alphas_cumprod
    if last_level == "least_noisy":
        scheduler.final_alpha_cumprod = SCHEDULE.alphas_cumprod[0]
    scheduler.set_timesteps(steps)
    noises, x, network = Noises(steps), normal(0), Network()
    for t in scheduler.timesteps:
        output = network(x, t.expand(len(x)))
        x = scheduler.step(output, int(t), x, eta=eta, variance_noise=noises() if eta else None).prev_sample
    assert_same(ours(DDIM(steps, spacing, last_level, eta), prediction), x, 1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned"])
@pytest.mark.parametrize(("steps", "spacing"), [*((steps, "trailing") for steps in STEPS), (20, "linspace")])
def test_ddpm(steps: int, spacing: str, variance: str, prediction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers draws noise on the step to clean latents too, unless that starts at timestep 0; not here."""
    scheduler = library.DDPMScheduler(
        **COMMON,
        clip_sample=False,
        timestep_spacing=spacing,
        variance_type={"learned": "learned_range"}.get(variance, variance),
        prediction_type=prediction,
    )
    scheduler.alphas_cumprod = SCHEDULE.alphas_cumprod
    scheduler.set_timesteps(steps)
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", Noises(steps))
    network, x = Network(), normal(0)
    for t in scheduler.timesteps:
        output = network(x, t.expand(len(x)))
        if variance == "learned":
            output = torch.cat([output, LearnedVariance.raw(x)], dim=1)
        x = scheduler.step(output, int(t), x).prev_sample
    assert_same(ours(DDPM(steps, spacing, variance=variance), prediction), x, 1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", ["trailing", "karras"])
@pytest.mark.parametrize("last_level", ["clean", "least_noisy"])
@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("steps", STEPS)
def test_dpm_solver(steps: int, stochastic: bool, last_level: str, spacing: str, prediction: str) -> None:
    """Theirs rounds x to float32 in every step."""
    kind = DPMSolver2MSDE if stochastic else DPMSolver2M
    sampler = kind(steps, spacing, last_level)
    scheduler = library.DPMSolverMultistepScheduler(
        **COMMON,
        algorithm_type="sde-dpmsolver++" if stochastic else "dpmsolver++",
        solver_order=2,
        lower_order_final=False,
        final_sigmas_type={"clean": "zero", "least_noisy": "sigma_min"}[last_level],
        prediction_type=prediction,
    )
    prepared(scheduler, sampler)
    noises, network, x = Noises(steps), Network(), normal(0)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(len(x))), int(t), x, variance_noise=noises()).prev_sample
    assert_same(ours(sampler, prediction), x, 1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    ("steps", "spacing"), [*((steps, "trailing") for steps in STEPS), (7, "karras"), (20, "karras"), (20, "leading")]
)
def test_unipc(steps: int, spacing: str, order: int, variant: str, prediction: str) -> None:
    """Theirs multiplies h by 0 in bh1, so it cannot step to clean latents."""
    sampler = UniPC(steps, spacing, "clean" if variant == "bh2" else "least_noisy", order, variant)
    scheduler = library.UniPCMultistepScheduler(
        **COMMON, solver_order=order, solver_type=variant, prediction_type=prediction
    )
    assert_same(ours(sampler, prediction), theirs(prepared(scheduler, sampler)), 1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", ["trailing", "linspace", "karras"])
@pytest.mark.parametrize("steps", STEPS)
def test_heun(steps: int, spacing: str, prediction: str) -> None:
    """Theirs keeps x / alpha, and lists each level but the ends twice."""
    sampler = Heun(steps, spacing)
    scheduler = library.HeunDiscreteScheduler(**COMMON, prediction_type=prediction)
    scheduler.set_timesteps(steps)
    levels = sampler.levels(SCHEDULE)
    twice = torch.arange(steps).repeat_interleave(2)[1:]
    scheduler.sigmas = torch.cat([(levels.sigma / levels.alpha)[twice], torch.zeros(1)])
    scheduler.timesteps = SCHEDULE.timesteps(levels[:-1])[twice].float()
    network, y = Network(), normal(0) / levels.alpha[0]
    for index, t in zip(twice, scheduler.timesteps, strict=True):
        y = scheduler.step(network(y * levels.alpha[index], t.expand(len(y))), t, y).prev_sample
    assert_same(ours(sampler, prediction), y, 1e-9)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", STEPS)
def test_euler_on_a_rectified_flow(steps: int, shift: float) -> None:
    """From pure noise, alpha 0, down the path alpha = 1 - sigma; theirs rounds x to float32 in every step."""
    scheduler = library.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)
    scheduler.set_timesteps(steps)
    network, x = Network(), normal(0)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(len(x))), t, x).prev_sample
    sigma = scheduler.sigmas.double()

    def flow_denoise(x: Tensor, level: Level) -> Tensor:
        return x - level.sigma * network(x, (1000 * level.sigma).expand(len(x)))

    assert float(sigma[0]) == 1
    assert_same(Euler(steps).sample(flow_denoise, normal(0), Level(1 - sigma, sigma)), x, 1e-5)
