"""Blending around any sampler: what is outside at each level, what a jump back does, and who remembers what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import NoiseSchedule, cosine, rectified_flow, scaled_linear
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.editing.regions.blended import BlendedSampler, noised_again
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.dpm_solver_2m_sde import DPMSolver2MSDE
from ldmlab.samplers.euler import Euler
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import Level

SHAPE = (2, 3, 4, 4)
STEPS = 6
SAMPLERS = [
    DDIM(STEPS),
    DDPM(STEPS),
    DPMSolver2M(STEPS),
    DPMSolver2MSDE(STEPS),
    Euler(STEPS),
    Heun(STEPS),
    UniPC(STEPS),
]
DETERMINISTIC = [sampler for sampler in SAMPLERS if not isinstance(sampler, DDPM | DPMSolver2MSDE)]
SCHEDULES = {
    "scaled_linear": scaled_linear(),
    "rectified_flow": rectified_flow(),
    "no_signal": cosine(zero_terminal_snr=True),
}


def name_of(sampler: Sampler) -> str:
    return type(sampler).__name__


def normal(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


KNOWN = normal(7)
INSIDE = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
INSIDE[..., 1:3, 2:] = True
OUTSIDE = ~INSIDE.expand(SHAPE)


def denoise(x: Tensor, level: Level) -> Tensor:
    """A smooth function in which every place hears of every other."""
    return torch.tanh(level.alpha * x + level.sigma) + 0.3 * x.mean(dim=(-2, -1), keepdim=True)


def hooks(**others: Any) -> SamplerHooks:
    generator = torch.Generator().manual_seed(1)
    return SamplerHooks(step_noise=lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype), **others)


def run(sampler: Sampler, schedule: NoiseSchedule | None = None, given: SamplerHooks | None = None) -> Tensor:
    return sampler.sample(denoise, normal(0), sampler.levels(schedule or scaled_linear()), given or hooks())


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=name_of)
@pytest.mark.parametrize(("resample", "jump"), [(1, 1), (3, 1), (2, 2), (2, 4), (2, 50)])
def test_outside_is_the_known_at_every_level(sampler: Sampler, schedule: str, resample: int, jump: int) -> None:
    blended = BlendedSampler(sampler, KNOWN, INSIDE, resample, jump)
    levels = blended.levels(SCHEDULES[schedule])
    seen = []

    def after(step: int, x: Tensor) -> Tensor:
        level = levels[step + 1]
        torch.testing.assert_close(x[OUTSIDE], (level.alpha * KNOWN)[OUTSIDE])
        seen.append(step)
        return x

    silent = SamplerHooks(after_step=after, step_noise=torch.zeros_like)
    out = blended.sample(denoise, normal(0), levels, silent)
    assert torch.equal(out[OUTSIDE], KNOWN[OUTSIDE])
    assert bool(torch.isfinite(out).all())
    assert not torch.equal(out, KNOWN)
    assert set(seen) == set(range(STEPS))


@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=name_of)
def test_with_everything_inside_it_is_the_sampler_itself(sampler: Sampler) -> None:
    blended = BlendedSampler(sampler, KNOWN, torch.ones_like(INSIDE))
    assert torch.equal(run(blended), run(sampler))


@pytest.mark.parametrize("multistep", [DPMSolver2M(STEPS), UniPC(STEPS), UniPC(STEPS, order=3)], ids=name_of)
def test_a_memory_does_not_outlive_a_jump(multistep: Sampler) -> None:
    """Between jumps of one step there is no past, and a multistep solver without a past is of first order."""
    first_order = run(BlendedSampler(DDIM(STEPS), KNOWN, INSIDE, resample=3))
    torch.testing.assert_close(run(BlendedSampler(multistep, KNOWN, INSIDE, resample=3)), first_order)
    for resample, jump in ((1, 1), (2, 3)):
        remembered = run(BlendedSampler(multistep, KNOWN, INSIDE, resample, jump))
        assert not torch.allclose(remembered, run(BlendedSampler(DDIM(STEPS), KNOWN, INSIDE, resample, jump)))


@pytest.mark.parametrize(
    ("schedule", "resample", "jump", "visited"),
    [
        ("scaled_linear", 1, 1, [0, 1, 2, 3, 4, 5]),
        ("scaled_linear", 2, 1, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        ("scaled_linear", 2, 4, [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 4, 5]),
        ("rectified_flow", 3, 2, [0, 1, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5, 4, 5]),  # nothing is kept of a jump to pure noise
    ],
)
def test_the_steps_in_their_order(schedule: str, resample: int, jump: int, visited: list[int]) -> None:
    before: list[int] = []
    after: list[int] = []
    given = hooks(before_step=before.append, after_step=lambda step, x: (after.append(step), x)[1])
    run(BlendedSampler(DDIM(STEPS), KNOWN, INSIDE, resample, jump), SCHEDULES[schedule], given)
    assert before == after == visited


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noising_again_is_noising_further(schedule: str) -> None:
    """x_s = alpha_s x_0 + sigma_s e and a further draw make alpha_t x_0 + sigma_t e', at the ends of the path too."""
    levels = DDIM(STEPS).levels(SCHEDULES[schedule])
    for t, s in ((0, 1), (2, 3), (1, 5), (STEPS - 1, STEPS), (0, STEPS)):
        noisier, level = levels[t], levels[s]
        signal = noised_again(level.alpha * KNOWN, level, noisier, torch.zeros_like)
        torch.testing.assert_close(signal, noisier.alpha * KNOWN)
        old = noised_again(level.sigma * torch.ones_like(KNOWN), level, noisier, torch.zeros_like)
        new = noised_again(torch.zeros_like(KNOWN), level, noisier, torch.ones_like)
        torch.testing.assert_close(old**2 + new**2, noisier.sigma**2 * torch.ones_like(KNOWN))


def test_one_step_is_blended_too() -> None:
    levels = DDIM(STEPS).levels(scaled_linear())
    quiet = SamplerHooks(step_noise=torch.zeros_like)
    out = BlendedSampler(DDIM(STEPS), KNOWN, INSIDE).step(denoise, normal(0), levels[2], levels[3], quiet)
    plain = DDIM(STEPS).step(denoise, normal(0), levels[2], levels[3], quiet)
    torch.testing.assert_close(out, torch.where(INSIDE, plain, levels[3].alpha * KNOWN))


@pytest.mark.parametrize("sampler", [DDIM(3), DDPM(3), UniPC(3)], ids=name_of)
def test_a_picture_does_not_depend_on_its_batch(sampler: Sampler, small_model: LatentDiffusion) -> None:
    inside = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    inside[..., 2:6, 2:6] = True
    known = torch.linspace(-1, 1, 256).reshape(1, 4, 8, 8)
    blended = BlendedSampler(sampler, known, inside, resample=2)

    def draw(seeds: list[int]) -> Tensor:
        drawing = Drawing(blended, ClassifierFree(2.0), seeds)
        return sample(small_model, drawing, {"captions": ["a star"] * len(seeds)})

    together = draw(list(range(10)))
    assert torch.equal(draw([4, 9]), together[[4, 9]])
    assert len({tuple(picture.flatten().tolist()) for picture in together}) == 10


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^resample=0: .* at least once"):
        BlendedSampler(DDIM(), KNOWN, INSIDE, resample=0)
    with pytest.raises(ValueError, match=r"^jump=0: .* at least 1 step"):
        BlendedSampler(DDIM(), KNOWN, INSIDE, jump=0)
