"""Every image counts once, in the order of arrival."""

from __future__ import annotations

import pytest
import torch

from ldmlab.metrics.features import FeatureBank


def test_the_order_is_that_of_arrival() -> None:
    bank = FeatureBank()
    bank.update(torch.tensor([[3.0], [1.0]]))
    bank.update(torch.tensor([[2.0]]))
    assert bank.collect().flatten().tolist() == [3, 1, 2]
    assert bank.collect().dtype == torch.float64


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        FeatureBank().update(torch.tensor([[0.0, bad]]))


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="the set is empty"):
        FeatureBank().collect()
