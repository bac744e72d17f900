"""What all metrics share: their own networks, which move, and which copies of a metric share."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ldmlab.metrics.base import Metric, share_networks

from ...colours import Colours


class Placed(Colours):
    """Says where it is."""

    device: Any = "cpu"

    def to(self, device: Any) -> Placed:
        self.device = device
        return self


class Sum(Metric):
    """Has two networks of its own, and adds up."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__(Placed())
        self.network = nn.Linear(1, 1)
        self.add_sum("total")

    def update(self, numbers: list[int]) -> None:
        self.total = self.total + sum(numbers)


def test_networks_move_and_sums_stay() -> None:
    metric = Sum()
    metric.update([1, 2])
    metric.move_networks("meta")
    assert (metric.extractor.device, metric.network.weight.device.type) == ("meta", "meta")
    assert float(metric.total) == 3


def test_metrics_of_one_network_share_it() -> None:
    first, second, other = Sum(), Sum(), Sum()
    assert other.extractor is not None
    other.extractor.weights_sha256 = "of another file"
    share_networks([first, second, other])
    assert first.extractor is second.extractor
    assert other.extractor is not first.extractor


def test_a_twin_shares_networks_and_no_states() -> None:
    metric = Sum()
    metric.update([1, 2])
    twin = metric.twin()
    twin.update([4])
    assert twin.extractor is metric.extractor
    assert twin.network is metric.network
    assert (float(metric.total), float(twin.total)) == (3, 7)
