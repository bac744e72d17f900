"""Our samplers and diffusers' schedulers, on the same timesteps, network and noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.types import Conditioning

SCHEDULE = scaled_linear()
SHAPE = (2, 4, 3, 3)
COMMON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}


class Network(nn.Module):
    """Some smooth function of x and t."""

    def forward(self, x: Tensor, timesteps: Tensor, cond: Any = None, control: Any = None) -> Tensor:
        t = timesteps.to(x.dtype).view(-1, 1, 1, 1) / 1000
        return torch.tanh(x * (0.5 + t)) + 0.3 * torch.sin(5 * t) + 0.1 * x.roll(1, dims=-1)


def noise_source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ours(sampler: Sampler, noise: Tensor) -> Tensor:
    generator = noise_source(1)
    hooks = SamplerHooks(step_noise=lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype))
    denoiser = Denoiser(Network(), SCHEDULE, Epsilon())
    levels = sampler.levels(SCHEDULE)
    return sampler.sample(lambda x, level: denoiser(x, level, Conditioning()), noise, levels, hooks)


def theirs(scheduler: Any, steps: int, noise: Tensor, **arguments: Any) -> Tensor:
    scheduler.alphas_cumprod = SCHEDULE.alphas_cumprod  # float64 for float32
    scheduler.set_timesteps(steps)
    generator, network, x = noise_source(1), Network(), noise
    for t in scheduler.timesteps:
        prediction = network(x, t.expand(len(x)))
        x = scheduler.step(prediction, int(t), x, generator=generator, **arguments).prev_sample
    return x


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_timesteps(steps: int, spacing: str) -> None:
    scheduler = DDPMScheduler(**COMMON, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    levels = DDPM(steps, spacing).levels(SCHEDULE)
    wanted = scheduler.timesteps.tolist()
    if (spacing, steps) == ("linspace", 1):
        wanted = [999]  # one step from the least noisy level, as there, would start from clean latents
    assert SCHEDULE.timesteps(levels[:-1]).tolist() == wanted


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("steps", "spacing"), [(1, "trailing"), (2, "trailing"), (50, "trailing"), (50, "leading")])
def test_ddim(steps: int, spacing: str, eta: float) -> None:
    noise = torch.randn(SHAPE, generator=noise_source(0), dtype=torch.float64)
    scheduler = DDIMScheduler(**COMMON, timestep_spacing=spacing, set_alpha_to_one=True)
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
    wanted = theirs(scheduler, steps, noise, eta=eta)
    torch.testing.assert_close(ours(DDIM(steps, spacing, eta), noise), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("steps", "spacing"), [(1, "trailing"), (2, "linspace"), (7, "linspace"), (50, "trailing"), (50, "leading")]
)
def test_ddpm(steps: int, spacing: str) -> None:
    noise = torch.randn(SHAPE, generator=noise_source(0), dtype=torch.float64)
    scheduler = DDPMScheduler(**COMMON, timestep_spacing=spacing, variance_type="fixed_small")
    wanted = theirs(scheduler, steps, noise)
    # diffusers keeps a standard deviation of 1e-10 where the posterior has none
    torch.testing.assert_close(ours(DDPM(steps, spacing), noise), wanted, rtol=1e-7, atol=1e-7)
