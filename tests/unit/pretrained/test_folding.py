"""A network without batch norms computes what it computed with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ldmlab.pretrained.folding import fold_batch_norms


class Block(nn.Module):
    """A convolution, a norm and an activation beside each other, as networks of the field are written."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, groups=groups, bias=groups == 1)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


def network() -> nn.Module:
    made = nn.Sequential(Block(3, 8), nn.Sequential(Block(8, 8, groups=8), nn.BatchNorm2d(8)), Block(8, 4))
    for number, value in enumerate([*made.parameters(), *made.buffers()]):
        if value.is_floating_point():
            nn.init.uniform_(value, 0.2, 1.4, torch.Generator().manual_seed(number))
    return made.requires_grad_(False).eval()


def test_what_comes_out_stays_the_same() -> None:
    images, folded = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), network()
    fold_batch_norms(folded)
    torch.testing.assert_close(folded(images), network()(images), rtol=1e-5, atol=1e-5)
    assert not any(weight.requires_grad for weight in folded.parameters())


def test_a_norm_that_follows_no_convolution_stays() -> None:
    folded = network()
    fold_batch_norms(folded)
    assert [type(each) for each in folded.modules() if isinstance(each, nn.BatchNorm2d)] == [nn.BatchNorm2d]
