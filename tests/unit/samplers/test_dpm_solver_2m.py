"""DPM-Solver++(2M)."""

from __future__ import annotations

import torch
from torch import Tensor

from ldmlab.samplers.dpm_solver_2m import DPMSolver2M, Extrapolation
from ldmlab.samplers.first_order import first_order
from ldmlab.types import Denoise, Level


def test_two_steps_are_the_papers(levels: Level, x: Tensor, denoise: Denoise) -> None:
    """Lu et al. 2022, algorithm 2: the first step is of first order, the second uses both estimates."""
    log_ratio = levels[:-1].log_snr / 2
    h_first, h_second = log_ratio.diff()[:2]
    ratio = h_first / h_second
    first = denoise(x, levels[0])
    middle = levels.sigma[1] / levels.sigma[0] * x - levels.alpha[1] * torch.expm1(-h_first) * first
    second = denoise(middle, levels[1])
    combined = (1 + 1 / (2 * ratio)) * second - 1 / (2 * ratio) * first
    wanted = levels.sigma[2] / levels.sigma[1] * middle - levels.alpha[2] * torch.expm1(-h_second) * combined
    torch.testing.assert_close(DPMSolver2M().sample(denoise, x, levels[:3]), wanted)


def test_the_step_to_clean_latents_is_of_first_order(levels: Level, x: Tensor, denoise: Denoise) -> None:
    before = DPMSolver2M().sample(denoise, x, levels[:-1])
    wanted = first_order(before, denoise(before, levels[3]), levels[3], levels[4])
    torch.testing.assert_close(DPMSolver2M().sample(denoise, x, levels), wanted)


def test_an_estimate_that_is_linear_in_log_snr_is_led_to_the_middle(levels: Level) -> None:
    extrapolate = Extrapolation()
    at = [level.reshape(1) for level in levels[:-1].log_snr]
    assert torch.equal(extrapolate(at[0], levels[0], levels[1]), at[0])
    for index in (1, 2):
        led = extrapolate(at[index], levels[index], levels[index + 1])
        torch.testing.assert_close(led, (at[index] + at[index + 1]) / 2)


def test_pure_noise_leads_nothing_on(flow_levels: Level, x: Tensor) -> None:
    extrapolate = Extrapolation()
    for index, wanted in ((0, x), (1, 2 * x)):
        assert torch.equal(extrapolate((index + 1) * x, flow_levels[index], flow_levels[index + 1]), wanted)
    assert not torch.equal(extrapolate(3 * x, flow_levels[2], flow_levels[3]), 3 * x)
