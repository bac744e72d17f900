"""Running statistics of raw latents."""

from __future__ import annotations

import pytest
import torch

from ldmlab.autoencoders.kl import DiagonalGaussian
from ldmlab.autoencoders.statistics import RunningStatistics


def batch(seed: int) -> DiagonalGaussian:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([1.0, 5.0])[:, None, None]
    mean = torch.randn(4, 2, 3, 3, generator=generator) * scale + scale
    return DiagonalGaussian(mean, torch.randn(4, 2, 3, 3, generator=generator))


def test_exact_over_the_first_batches() -> None:
    statistics = RunningStatistics(2, window=10)
    batches = [batch(seed) for seed in range(5)]
    for raw in batches:
        statistics.update(raw)
    means = torch.cat([b.mean for b in batches]).double()
    variances = torch.cat([b.log_variance for b in batches]).double().exp()
    mean, std = statistics.result()
    torch.testing.assert_close(mean.double(), means.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    total = means.var((0, 2, 3), correction=0) + variances.mean((0, 2, 3))
    torch.testing.assert_close(std.double(), total.sqrt(), rtol=1e-5, atol=1e-6)


def test_forgets_beyond_its_window() -> None:
    statistics = RunningStatistics(2, window=4)
    for _ in range(20):
        statistics.update(DiagonalGaussian(torch.full((1, 2, 2, 2), 100.0), torch.zeros(1, 2, 2, 2)))
    for _ in range(4):
        statistics.update(DiagonalGaussian(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)))
    assert statistics.result()[0].tolist() == pytest.approx([100 * 0.75**4] * 2)


def test_goes_on_from_its_state() -> None:
    through, first, second = (RunningStatistics(2, window=3) for _ in range(3))
    for seed in range(6):
        through.update(batch(seed))
    for seed in range(3):
        first.update(batch(seed))
    second.load_state_dict(first.state_dict())
    for seed in range(3, 6):
        second.update(batch(seed))
    assert all(torch.equal(a, b) for a, b in zip(through.result(), second.result(), strict=True))
