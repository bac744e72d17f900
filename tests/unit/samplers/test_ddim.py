"""One step of DDIM."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.types import Denoise, Level


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_eta_outside_its_range(eta: float) -> None:
    with pytest.raises(ValueError, match=f"sampler.eta={eta}: eta must lie in"):
        DDIM(eta=eta)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_step_is_the_papers(eta: float, levels: Level, x: Tensor, denoise: Denoise) -> None:
    """Song et al. 2021, equations 12 and 16, in alphas_cumprod."""
    abar, before = float(levels.alpha[1] ** 2), float(levels.alpha[2] ** 2)
    std = eta * ((1 - before) / (1 - abar) * (1 - abar / before)) ** 0.5
    clean = denoise(x, levels[1])
    eps = (x - abar**0.5 * clean) / (1 - abar) ** 0.5
    wanted = before**0.5 * clean + (1 - before - std**2) ** 0.5 * eps + std * x.flip(1)
    found = DDIM(eta=eta).step(denoise, x, levels[1], levels[2], SamplerHooks(step_noise=lambda x: x.flip(1)))
    torch.testing.assert_close(found, wanted)
