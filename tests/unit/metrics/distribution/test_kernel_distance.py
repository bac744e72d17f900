"""The kernel distance: without bias, over subsets, and how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.base import Announced
from ldmlab.metrics.distribution.kernel_distance import KernelDistance


def measured(real: Tensor, fake: Tensor, metric: KernelDistance) -> KernelDistance:
    metric.begin(Announced(len(fake), suffix="-own"))
    for update, features in ((metric.update_reference, real), (metric.update, fake)):
        for start in range(0, len(features), 50):
            own = features[start : start + 50].double()
            update(own, range(start, start + len(own)))
    return metric


def discrepancy(fake: np.ndarray, real: np.ndarray) -> float:
    """The unbiased estimate by all pairs, in float64."""
    kernels = [(one @ other.T / one.shape[1] + 1) ** 3 for one, other in ((fake, fake), (real, real), (fake, real))]
    within = [(each.sum() - np.trace(each)) / (len(each) * (len(each) - 1)) for each in kernels[:2]]
    return float(sum(within) - 2 * kernels[2].mean())


def test_all_pairs_where_there_is_one_subset(generator: torch.Generator) -> None:
    real, fake = torch.randn(60, 8, generator=generator), torch.rand(60, 8, generator=generator)
    metric = measured(real, fake, KernelDistance())
    expected = discrepancy(fake.double().numpy(), real.double().numpy())
    assert metric.compute() == {"KID-own": pytest.approx(expected, rel=1e-5), "KID_std-own": 0}
    assert metric.remarks() == ["KID-own: subset_size is 1000 and there are 60 images, so subsets have 60"]


def test_subsets_are_drawn_without_touching_the_global_generators(generator: torch.Generator) -> None:
    real, fake = torch.randn(90, 8, generator=generator), torch.randn(70, 8, generator=generator) + 0.5
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()
    found = measured(real, fake, KernelDistance(subsets=40, subset_size=30)).compute()
    assert np.random.get_state()[1].tolist() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert measured(real, fake, KernelDistance(subsets=40, subset_size=30)).compute() == found
    assert measured(real, fake, KernelDistance(subsets=40, subset_size=30, seed=1)).compute() != found
    draws = np.random.RandomState(2020)
    mine, theirs = (draws.choice(count, 30, replace=False) for count in (70, 90))
    first = measured(real, fake, KernelDistance(subsets=1, subset_size=30)).compute()
    assert first["KID-own"] == pytest.approx(
        discrepancy(fake[mine].double().numpy(), real[theirs].double().numpy()), rel=1e-5
    )


def test_one_distribution_has_none_at_any_size(generator: torch.Generator) -> None:
    for n in (20, 200):
        found = [
            measured(*torch.randn(2, n, 4, generator=generator), KernelDistance(subsets=5, subset_size=20)).compute()
            for _ in range(60)
        ]
        figures = torch.tensor([each["KID-own"] for each in found])
        assert abs(float(figures.mean())) < 3 * float(figures.std()) / 60**0.5


@pytest.mark.parametrize(("subsets", "size"), [(1, 1000), (40, 40), (8, 30)], ids=["all", "often", "seldom"])
def test_the_error_is_the_spread_over_many_draws(subsets: int, size: int, generator: torch.Generator) -> None:
    real = torch.randn(200, 8, generator=generator)
    found = []
    for _ in range(40):
        fake = 0.8 * torch.randn(200, 8, generator=generator) + 0.4
        metric = measured(real, fake, KernelDistance(subsets=subsets, subset_size=size))
        found.append((metric.compute()["KID-own"], metric.errors()["KID-own"]))
    figures, errors = torch.tensor(found).T
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(figures.std()), rel=0.35)


def test_bad_settings_and_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="subsets is 0"):
        KernelDistance(subsets=0)
    with pytest.raises(ValueError, match="subset_size is 1"):
        KernelDistance(subset_size=1)
    with pytest.raises(ValueError, match="fake images: 1 was given"):
        measured(torch.eye(3), torch.eye(3)[:1], KernelDistance()).compute()
    with pytest.raises(ValueError, match="no real image was given"):
        measured(torch.eye(3)[:0], torch.eye(3), KernelDistance()).compute()
