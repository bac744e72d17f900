"""Heun's method."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.diffusion.schedules import linear
from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.first_order import first_order
from ldmlab.samplers.heun import Heun
from ldmlab.types import Denoise, Level


def test_a_step_is_the_papers(levels: Level, x: Tensor, denoise: Denoise) -> None:
    """Karras et al. 2022, algorithm 1, on y = x / alpha with noise ratios for the paper's t."""
    level, lower = levels[1], levels[2]
    t, t_next = float(level.sigma / level.alpha), float(lower.sigma / lower.alpha)
    y = x / level.alpha
    d = (y - denoise(x, level)) / t
    y_next = y + (t_next - t) * d
    d_next = (y_next - denoise(lower.alpha * y_next, lower)) / t_next
    wanted = lower.alpha * (y + (t_next - t) * (d / 2 + d_next / 2))
    torch.testing.assert_close(Heun().step(denoise, x, level, lower, SamplerHooks()), wanted)


@pytest.mark.parametrize(("pure", "wanted"), [(False, 7), (True, 6)])
def test_network_calls(pure: bool, wanted: int, levels: Level, flow_levels: Level, x: Tensor, denoise: Denoise) -> None:
    """2S - 1, and one less from pure noise."""
    calls = []

    def counted(x: Tensor, level: Level) -> Tensor:
        calls.append(float(level.sigma))
        return denoise(x, level)

    Heun(4).sample(counted, x, flow_levels if pure else levels)
    assert len(calls) == wanted
    assert 0 not in calls


@pytest.mark.parametrize(("ratio", "wanted"), [(79.0, 2), (81.0, 1), (2e4, 1)])
def test_nearly_pure_noise_is_left_by_a_step_of_first_order(
    ratio: float, wanted: int, levels: Level, x: Tensor, denoise: Denoise
) -> None:
    """The cosine schedule begins at a ratio of 2e4, from which the trapezoidal rule would throw x far off."""
    noisy = linear().at_ratio(torch.tensor(ratio, dtype=torch.float64))
    calls = []

    def counted(x: Tensor, level: Level) -> Tensor:
        calls.append(level)
        return denoise(x, level)

    out = Heun().step(counted, x, noisy, levels[1], SamplerHooks())
    assert len(calls) == wanted
    if wanted == 1:
        torch.testing.assert_close(out, first_order(x, denoise(x, noisy), noisy, levels[1]))
