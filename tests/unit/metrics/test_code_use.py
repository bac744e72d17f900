"""How codes are used, and how sure that is, against what many draws of pictures give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.base import Announced
from ldmlab.metrics.code_use import CodeUse

PICTURES, TOKENS, CODES = 100, 16, 40


def counts(seed: int) -> Tensor:
    """Of pictures that each take few of the codes, so that the codes of one tell of each other."""
    rng = np.random.default_rng(seed)
    favourites = rng.dirichlet(np.geomspace(0.5, 1e-3, CODES), size=PICTURES)
    return torch.from_numpy(np.stack([rng.multinomial(TOKENS, each) for each in favourites]))


def measured(code_counts: Tensor, batch: int = 7) -> CodeUse:
    metric = CodeUse()
    metric.begin(Announced(len(code_counts)))
    for numbers in torch.arange(len(code_counts)).split(batch):
        metric.update(numbers.tolist(), code_counts[numbers])
    return metric


def test_errors_are_those_of_many_draws() -> None:
    found = [measured(counts(seed)) for seed in range(60)]
    for name in ("perplexity", "used_codes"):
        spread = np.std([each.compute()[name] for each in found], ddof=1)
        told = np.mean([each.errors()[name] for each in found])
        assert 0.8 * spread < told < (1.3 if name == "perplexity" else 3) * spread


def test_batches_change_nothing() -> None:
    one, other = measured(counts(0)), measured(counts(0), batch=33)
    assert (one.compute(), one.errors()) == (other.compute(), other.errors())
    joined = CodeUse()
    joined.begin(Announced(PICTURES))
    for first in (0, 50):
        part = list(range(first, first + 50))
        joined.join(joined.alone(lambda part=part: joined.update(part, counts(0)[part])))  # type: ignore[misc]
    assert (joined.compute(), joined.errors()) == (one.compute(), one.errors())
    assert joined.use[0].shape == (20, 1 + CODES)


def test_figures_by_hand() -> None:
    metric = measured(torch.tensor([[4, 0, 0, 0], [0, 4, 0, 0]]))
    assert metric.compute() == {"perplexity": pytest.approx(2), "used_codes": 0.5}
    assert metric.errors() == {"perplexity": 0, "used_codes": 0}


def test_nothing_is_told_without_a_codebook() -> None:
    metric = CodeUse()
    metric.begin(Announced(4))
    metric.update([0, 1])
    assert (metric.compute(), metric.errors()) == ({}, {})
