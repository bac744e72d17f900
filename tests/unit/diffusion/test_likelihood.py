"""The whole bound on data whose likelihood is known: x_0 ~ N(mu, s^2), with the best denoiser there is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.likelihood import bits_per_dim
from ldmlab.diffusion.objectives import Hybrid, Objective, Simple, every_level
from ldmlab.diffusion.parameterizations import CleanLatents
from ldmlab.diffusion.schedules import NoiseSchedule, cosine, rectified_flow
from ldmlab.types import Conditioning

MU, S = 0.4, 0.8


class Exact(nn.Module):
    """E[x_0 | x_t], and a variance where one is asked for: mix 0 where `v` is -1."""

    def __init__(self, schedule: NoiseSchedule, v: float | None = None) -> None:
        super().__init__()
        self.schedule = schedule
        self.v = v

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
        alpha, sigma = self.schedule.level(timesteps).like(x)
        clean = MU + alpha * S**2 / (alpha**2 * S**2 + sigma**2) * (x - alpha * MU)
        return clean if self.v is None else torch.cat([clean, torch.full_like(x, self.v)], dim=1)


def bound(schedule: NoiseSchedule, objective: Objective, v: float | None = None) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    latents = MU + S * torch.randn(8, 4, 16, 16, generator=generator, dtype=torch.float64)
    denoiser = Denoiser(Exact(schedule, v), schedule, CleanLatents(), objective)

    def draw() -> Tensor:
        return torch.randn(latents.shape, generator=generator, dtype=torch.float64)

    found = bits_per_dim(denoiser, latents, Conditioning(), every_level(schedule), draw)
    return {name: float(bits.mean()) for name, bits in found.items()}


ENTROPY = 0.5 * math.log2(2 * math.pi * math.e * S**2) - math.log2(2 / 255)
"""Bits of a draw at the resolution of the bins."""


@pytest.mark.parametrize(
    ("schedule", "gap"), [(cosine(400), 0.05), (rectified_flow(400), 0.25)], ids=["cosine", "flow"]
)
def test_the_best_denoiser_comes_near_the_entropy_from_above(schedule: NoiseSchedule, gap: float) -> None:
    """With the larger variance; the smaller one is too sure of itself in the last step, and costs a bit or two."""
    found = bound(schedule, Simple())
    sampling_error = 0.02
    assert ENTROPY - sampling_error < found["fixed_large"] < ENTROPY + gap
    assert found["fixed_large"] < found["fixed_small"] < ENTROPY + 2.5
    assert found["prior"] == pytest.approx(0, abs=1e-3)
    assert "learned" not in found


def test_a_learned_variance_at_its_ends_is_a_fixed_one() -> None:
    for v, fixed in ((-1.0, "fixed_small"), (1.0, "fixed_large")):
        found = bound(cosine(50), Hybrid(), v)
        assert found["learned"] == pytest.approx(found[fixed], rel=1e-12)


def test_a_worse_denoiser_has_a_worse_bound() -> None:
    class Biased(Exact):
        def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
            return super().forward(x, timesteps, cond) + 0.1

    schedule = cosine(50)
    latents = MU + S * torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    totals = []
    for kind in (Exact, Biased):
        generator = torch.Generator().manual_seed(1)
        denoiser = Denoiser(kind(schedule), schedule, CleanLatents())

        def draw(generator: torch.Generator = generator) -> Tensor:
            return torch.randn(latents.shape, generator=generator, dtype=torch.float64)

        found = bits_per_dim(denoiser, latents, Conditioning(), every_level(schedule), draw)
        totals.append(float(found["fixed_small"].mean()))
    assert totals[1] > totals[0] + 0.05
