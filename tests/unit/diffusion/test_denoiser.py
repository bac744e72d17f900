"""The denoiser: which timestep the backbone sees, what its output means, and the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid
from ldmlab.diffusion.parameterizations import CleanLatents, Epsilon, FlowVelocity, PosteriorMean, Velocity
from ldmlab.diffusion.process import add_noise
from ldmlab.diffusion.schedules import NoiseSchedule, linear, rectified_flow, scaled_linear
from ldmlab.types import Conditioning, Level


class Backbone(nn.Module):
    """Returns what it was given to return, and remembers its call."""

    def __init__(self, prediction: Tensor) -> None:
        super().__init__()
        self.prediction = prediction

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
        self.call = (x, timesteps, cond, control)
        return self.prediction


SCHEDULE = scaled_linear()
LATENTS = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NOISE = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_true_noise_gives_the_latents_back() -> None:
    t = torch.tensor([0, 500, 999])
    level = SCHEDULE.level(t)
    backbone = Backbone(NOISE)
    denoised = Denoiser(backbone, SCHEDULE, Epsilon())(add_noise(LATENTS, NOISE, level), level, Conditioning())
    torch.testing.assert_close(denoised, LATENTS, rtol=1e-9, atol=1e-9)
    assert torch.equal(backbone.call[1], t)


def test_denoised_is_the_right_reading_of_epsilon() -> None:
    """x_0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar), not the slide's plus."""
    level = SCHEDULE.level(torch.tensor(700))
    abar = float(SCHEDULE.alphas_cumprod[700])
    found = Epsilon().denoised(NOISE, LATENTS, level)
    torch.testing.assert_close(found, (LATENTS - (1 - abar) ** 0.5 * NOISE) / abar**0.5)


def test_one_level_serves_the_whole_batch_and_the_rest_is_passed_on() -> None:
    backbone = Backbone(NOISE)
    cond, control = Conditioning(vector=torch.ones(3, 1)), object()
    Denoiser(backbone, SCHEDULE, Epsilon())(LATENTS, SCHEDULE.level(torch.tensor(42)), cond, control)
    assert backbone.call[1].tolist() == [42, 42, 42]
    assert backbone.call[2] is cond
    assert backbone.call[3] is control


@pytest.mark.parametrize("level", [SCHEDULE.level(torch.tensor(42)), SCHEDULE.level(torch.tensor([42]))])
def test_timesteps_are_where_the_latents_are(level: Level) -> None:
    backbone = Backbone(NOISE.to("meta"))
    Denoiser(backbone, SCHEDULE, CleanLatents())(LATENTS.to("meta"), level, Conditioning())
    assert (backbone.call[1].shape, backbone.call[1].device.type) == ((3,), "meta")


def test_loss_is_the_squared_error_a_sample() -> None:
    prediction = NOISE.clone()
    prediction[1] += 2.0
    prediction[2, 0] -= 1.0
    t = torch.tensor([10, 20, 30])
    backbone = Backbone(prediction)
    loss = Denoiser(backbone, SCHEDULE, Epsilon()).loss(LATENTS, NOISE, t, Conditioning())
    torch.testing.assert_close(loss, torch.tensor([0.0, 4.0, 0.5], dtype=torch.float64))
    noisy = backbone.call[0]
    abar = SCHEDULE.alphas_cumprod[t].view(3, 1, 1, 1)
    torch.testing.assert_close(noisy, abar.sqrt() * LATENTS + (1 - abar).sqrt() * NOISE)


def test_a_learned_variance_is_read_from_the_second_half() -> None:
    variance = torch.full_like(NOISE, -1.0)
    variance[0] = 1.0
    backbone = Backbone(torch.cat([NOISE, variance], dim=1))
    level = SCHEDULE.level(torch.tensor(300))
    estimate = Denoiser(backbone, SCHEDULE, Epsilon(), Hybrid()).estimate(LATENTS, level, Conditioning())
    torch.testing.assert_close(estimate.denoised, Epsilon().denoised(NOISE, LATENTS, level))
    assert estimate.variance_mix is not None
    assert estimate.variance_mix[:, 0, 0, 0].tolist() == [1.0, 0.0, 0.0]
    plain = Denoiser(Backbone(NOISE), SCHEDULE, Epsilon()).estimate(LATENTS, level, Conditioning())
    assert plain.variance_mix is None


def test_half_precision_predictions_are_read_in_single() -> None:
    backbone = Backbone(NOISE.bfloat16())
    t = torch.tensor([300, 400, 500])
    denoiser = Denoiser(backbone, SCHEDULE, Epsilon())
    assert denoiser.loss(LATENTS.float(), NOISE.float(), t, Conditioning()).dtype == torch.float32


@pytest.mark.parametrize("schedule", [linear(zero_terminal_snr=True), rectified_flow(50)], ids=["zero SNR", "flow"])
def test_some_predictions_need_a_last_level_with_signal(schedule: NoiseSchedule) -> None:
    for name, parameterization in (("epsilon", Epsilon()), ("posterior_mean", PosteriorMean(schedule))):
        with pytest.raises(
            ValueError, match=f"parameterization={name}: the schedule ends in pure noise.*use param.*velocity"
        ):
            Denoiser(Backbone(NOISE), schedule, parameterization)
    last = schedule.level(torch.tensor(len(schedule) - 1))
    for other in (Velocity(), FlowVelocity(), CleanLatents()):
        found = Denoiser(Backbone(NOISE), schedule, other)(LATENTS, last, Conditioning())
        assert bool(torch.isfinite(found).all())
