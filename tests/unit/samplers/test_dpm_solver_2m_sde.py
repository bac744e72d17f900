"""SDE-DPM-Solver++(2M)."""

from __future__ import annotations

import torch
from torch import Tensor

from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m_sde import DPMSolver2MSDE
from ldmlab.types import Denoise, Level

HOOKS = SamplerHooks(step_noise=lambda x: x.flip(1).sign())


def test_two_steps_are_the_papers(levels: Level, x: Tensor, denoise: Denoise) -> None:
    """The SDE solver of Lu et al. 2022 in exponentials of h; the second step extrapolates."""
    estimates: list[Tensor] = []
    log_ratio = levels[:-1].log_snr / 2
    wanted = x
    for index in (0, 1):
        h = log_ratio[index + 1] - log_ratio[index]
        estimates.append(denoise(wanted, levels[index]))
        combined = estimates[-1]
        if index == 1:
            combined = combined + h / (2 * (log_ratio[1] - log_ratio[0])) * (estimates[1] - estimates[0])
        wanted = (
            levels.sigma[index + 1] / levels.sigma[index] * torch.exp(-h) * wanted
            + levels.alpha[index + 1] * (1 - torch.exp(-2 * h)) * combined
            + levels.sigma[index + 1] * (1 - torch.exp(-2 * h)).sqrt() * HOOKS.step_noise(wanted)
        )
    torch.testing.assert_close(DPMSolver2MSDE().sample(denoise, x, levels[:3], HOOKS), wanted)


def test_its_first_step_is_ancestral(levels: Level, x: Tensor, denoise: Denoise) -> None:
    ancestral = DDPM().sample(denoise, x, levels[:2], HOOKS)
    torch.testing.assert_close(DPMSolver2MSDE().sample(denoise, x, levels[:2], HOOKS), ancestral)
