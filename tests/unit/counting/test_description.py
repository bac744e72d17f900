from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.text import TextTransformer
from ldmlab.counting.description import Description, describe
from ldmlab.counting.module_cost import count_values
from ldmlab.types import Conditioning


class Small(nn.Module):
    """A convolution, a stack of linears, a frozen one, a table, and a product of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.stack = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.frozen = nn.Linear(16, 16, bias=False).requires_grad_(False)
        self.unused = nn.Linear(100, 100)
        self.register_buffer("table", torch.zeros(7), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(2)
        for linear in self.stack:
            x = linear(x)
        x = self.frozen(x)
        return x @ x.transpose(1, 2)

    def convolve(self, x: Tensor) -> Tensor:
        return self.conv(x)


CONV = 3 * 5 * 9 * 16
LINEAR = 5 * 16 * 16
PRODUCT = 5 * 5 * 16


@pytest.fixture
def small() -> Description:
    return describe(Small(), torch.zeros(1, 3, 4, 4))


def unet(context_width: int | None = 24) -> UNet:
    return UNet(4, 16, model_channels=32, multipliers=(1, 2), residual_blocks=1, context_width=context_width)


def latents(grid: int = 16) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 4, grid, grid), torch.zeros(1, dtype=torch.long)


def test_matrix_products_and_convolutions_by_hand(small: Description) -> None:
    parts = dict(small.root.walk(2))
    assert parts["conv"].macs == CONV
    assert parts["stack.1"].macs == parts["frozen"].macs == LINEAR
    assert parts["stack"].macs == 3 * LINEAR
    assert parts["unused"].macs == 0
    assert parts[""].macs == CONV + 4 * LINEAR + PRODUCT
    assert parts[""].flops == 2 * parts[""].macs


def test_parameters_by_what_becomes_of_them(small: Description) -> None:
    root = small.root
    assert root.trainable == (27 * 5 + 5) + 3 * (256 + 16) + (10_000 + 100)
    assert root.frozen == 256
    assert root.buffers == 7
    assert (root.trainable, root.frozen, root.buffers) == count_values(Small())


def test_depth_limits_the_walk(small: Description) -> None:
    assert [path for path, _ in small.root.walk(0)] == [""]
    assert [path for path, _ in small.root.walk(1)] == ["", "conv", "stack", "frozen", "unused"]
    assert "stack.2" in dict(small.root.walk(2))


def test_alike_neighbours_are_folded_and_their_figures_added(small: Description) -> None:
    parts = dict(small.root.folded().walk(9))
    stack = parts["stack.0-2"]
    assert (stack.count, stack.macs, stack.trainable) == (3, 3 * LINEAR, 3 * 272)
    assert parts[""].macs == small.root.macs


def test_neighbours_that_differ_are_not_folded() -> None:
    stack = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 8))
    root = describe(stack, torch.zeros(1, 4)).root.folded()
    assert [(child.name, child.count) for child in root.children] == [("0-1", 2), ("2", 1)]


def test_folded_children_add_up_to_what_holds_them() -> None:
    root = describe(DiT(4, 16, width=32, depth=3, heads=2), *latents(), Conditioning()).root.folded()
    blocks = dict(root.walk(2))["blocks.0-2"]
    assert blocks.count == 3
    assert sum(child.macs for child in blocks.children) == blocks.macs > 0
    assert sum(child.trainable for child in blocks.children) == blocks.trainable


def test_a_method_describes_what_it_runs_alone() -> None:
    description = describe(Small(), torch.zeros(1, 3, 4, 4), method="convolve")
    assert [path for path, _ in description.root.walk(9)] == ["", "conv"]
    assert description.root.macs == CONV
    assert description.root.trainable == 27 * 5 + 5


def test_encoder_and_decoder_of_an_autoencoder() -> None:
    autoencoder = AutoencoderKL(16, (1, 2), residual_blocks=1, norm_groups=8)
    encoding = describe(autoencoder, torch.zeros(1, 3, 32, 32), method="encode")
    decoding = describe(autoencoder, torch.zeros(1, 4, 16, 16), method="decode")
    assert [child.name for child in encoding.root.children] == ["encoder", "to_moments"]
    assert sorted(child.name for child in decoding.root.children) == ["decoder", "from_latents"]
    assert encoding.root.trainable + decoding.root.trainable == count_values(autoencoder)[0]
    attention = next(part for _, part in encoding.root.walk(9) if part.kind == "PositionAttention")
    assert attention.macs == 4 * 256 * 32**2 + 2 * 256**2 * 32


def test_tokens_of_a_unet_are_those_of_each_grid() -> None:
    description = describe(unet(), *latents(), Conditioning(context=torch.zeros(1, 9, 24)))
    assert description.tokens == (256, 64)
    assert description.context_tokens == (9,)


def test_without_text_there_are_no_context_tokens() -> None:
    assert describe(unet(context_width=None), *latents(), Conditioning()).context_tokens == ()


def test_prompt_model_on_meta() -> None:
    with torch.device("meta"):
        conditioner = TextTransformer(vocabulary=300, length=11, width=32, depth=2, heads=4)
    conditioner.prepare(["a star"])
    description = describe(conditioner, 1, method="null")
    assert description.tokens == (11,)
    block = 12 * 11 * 32**2 + 2 * 11**2 * 32
    assert description.root.macs == 2 * block
    assert description.root.trainable == count_values(conditioner)[0]


def test_class_table_costs_nothing() -> None:
    with torch.device("meta"):
        conditioner = ClassLabel(10, 8)
    root = describe(conditioner, 1, method="null").root
    assert (root.macs, root.trainable) == (0, 11 * 8)


def test_modules_whose_weights_are_used_from_outside_belong_to_what_ran() -> None:
    """PyTorch's own attention never calls its output projection, but multiplies by its weight."""

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def run(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]

    description = describe(Holder(), torch.zeros(1, 5, 8), method="run")
    assert description.root.trainable == count_values(Holder())[0]
    assert description.root.macs == 4 * 5 * 8**2 + 2 * 5**2 * 8


def test_weights_backends_and_modes_are_left_as_they_were() -> None:
    backbone = DiT(4, 16, width=32, depth=1, heads=2, attention="sdpa").train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    backend = backbone.blocks[0].self_attention.backend
    with pytest.raises(ValueError, match="DiT takes latents"):
        describe(backbone, *latents(grid=5), Conditioning())
    describe(backbone, *latents(), Conditioning())
    assert backbone.blocks[0].self_attention.backend is backend
    assert backbone.training
    for name, tensor in backbone.state_dict().items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, before[name])
    assert backbone(*latents(), Conditioning()).abs().max() == 0


def test_a_backend_without_a_kernel_for_meta_is_counted_too() -> None:
    module = Attention(8, 2)

    def needs_a_gpu(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        raise ValueError("no kernel")

    module.backend = needs_a_gpu
    assert describe(module, torch.zeros(1, 4, 8), (2, 2)).root.macs == 4 * 4 * 8**2 + 2 * 4**2 * 8
    assert module.backend is needs_a_gpu
