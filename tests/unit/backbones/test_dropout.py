"""Dropout by keys of the samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ldmlab.backbones.dropout import BITS, Dropout, droppers, give_keys, keyed_uniform, take_keys
from ldmlab.backbones.unet import UNet
from ldmlab.draws import Draws

CPU = torch.device("cpu")


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return Draws(count, generator=torch.Generator().manual_seed(seed)).randint(2**BITS, 2, device=CPU)


def test_a_sample_loses_the_same_values_in_any_batch() -> None:
    layer, x = Dropout(0.3), torch.ones(6, 4, 8, 8)
    layer.keys = keys(6)
    whole = layer(x)
    assert whole.unique().tolist() == pytest.approx([0, 1 / 0.7])
    layer.keys = keys(6)[2:5]
    assert torch.equal(layer(x[2:5]), whole[2:5])
    assert not torch.equal(whole[0], whole[1])


def test_masks_are_uniform_and_independent() -> None:
    """Between neighbours in a sample, and between samples at a place."""
    count, places = 200, 3000
    numbers = keyed_uniform(keys(count), places).double() / 2**BITS
    assert float(numbers.mean()) == pytest.approx(0.5, abs=0.002)
    assert float(numbers.var()) == pytest.approx(1 / 12, abs=0.001)
    for p in (0.05, 0.5):
        lost = (numbers < p).double() - p
        assert float(lost.mean()) == pytest.approx(0, abs=0.003)
        assert float((lost[:, 1:] * lost[:, :-1]).mean()) / (p * (1 - p)) == pytest.approx(0, abs=0.01)
        of_samples, of_places = lost.mean(dim=1).std(), lost.mean(dim=0).std()
        assert float(of_samples) * (places / p / (1 - p)) ** 0.5 == pytest.approx(1, abs=0.25)
        assert float(of_places) * (count / p / (1 - p)) ** 0.5 == pytest.approx(1, abs=0.1)
        between = lost @ lost.T / places / (p * (1 - p))
        assert float(between.fill_diagonal_(0).abs().max()) < 6 / places**0.5


def test_without_keys_and_in_evaluation_it_is_pytorchs() -> None:
    layer, plain, x = Dropout(0.5), nn.Dropout(0.5), torch.randn(3, 7)
    torch.manual_seed(0)
    expected = plain(x)
    torch.manual_seed(0)
    assert torch.equal(layer(x), expected)
    layer.keys = keys(3)
    assert torch.equal(layer.eval()(x), x)


def test_layers_of_a_network_have_keys_of_their_own() -> None:
    network = UNet(4, 8, model_channels=32, multipliers=(1,), residual_blocks=1, dropout=0.1)
    found = droppers(network)
    assert len(found) > 2
    give_keys(found, Draws(2, generator=torch.Generator().manual_seed(0)), CPU)
    assert len({tuple(each.keys.flatten().tolist()) for each in found}) == len(found)  # type: ignore[union-attr]
    take_keys(found)
    assert all(each.keys is None for each in found)
    assert droppers(UNet(4, 8, model_channels=32, multipliers=(1,), residual_blocks=1)) == []
