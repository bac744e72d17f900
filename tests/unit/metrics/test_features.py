"""Every image counts once, and batches do not matter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.metrics.features import BLOCK, FeatureBlocks, FeatureStatistics


@pytest.mark.parametrize("size", [1, 7, 300, BLOCK, 2 * BLOCK, 5000])
def test_blocks_are_the_same_for_all_batches(size: int) -> None:
    features = torch.arange(2.0 * BLOCK + 10)[:, None]
    blocks: list[Tensor] = []
    stream = FeatureBlocks("real", lambda block, first: blocks.append(block))
    for batch in features.split(size):
        stream.update(batch)
        assert sum(map(len, stream._waiting)) < BLOCK
    stream.close()
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 10]
    assert torch.equal(torch.cat(blocks), features.double())
    assert (stream.count, stream.width) == (len(features), 1)


def test_statistics_are_those_of_all(generator: torch.Generator) -> None:
    features = torch.rand(50, 4, generator=generator, dtype=torch.float64) + 100
    statistics = FeatureStatistics()
    for batch in features.split(7):
        statistics.update(batch)
    assert torch.allclose(statistics.mean, features.mean(dim=0))
    assert torch.allclose(statistics.covariance, features.T.cov(), rtol=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    stream = FeatureBlocks("real", lambda block, first: None)
    stream.update(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="the features of real image 4 hold NaN or infinite values"):
        stream.update(torch.tensor([[0.0, 0.0], [0.0, bad]]))
