"""What a training pass keeps: by hand, and against the tensors that a real pass on a CPU saves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ldmlab.autoencoders.blocks import Encoder
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.counting.description import describe
from ldmlab.counting.passes import Pass
from ldmlab.types import Conditioning


def kept(module: nn.Module, *inputs: Any, dtype: torch.dtype = torch.float32) -> int:
    return sum(Pass(module, inputs, "forward").activations(dtype).values())


def test_each_storage_once_and_no_parameters() -> None:
    """Three linears read one input, which is kept once; the last one's input is what a ReLU returned and keeps."""

    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 16), nn.Linear(8, 16)
            self.three = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.three(torch.relu(self.one(x) + self.two(x)))

    x = torch.zeros(5, 8)
    assert kept(Three(), x) == 4 * (5 * 8 + 5 * 16)
    assert kept(Three(), x, dtype=torch.bfloat16) == 2 * (5 * 8 + 5 * 16)
    assert kept(Three().requires_grad_(False), x) == 0


def test_views_count_their_whole_storage_once() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(2, 8, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            value, gate = self.into(x).chunk(2, dim=-1)
            return value * gate

    assert kept(Halves(), torch.zeros(3, 2)) == 4 * (3 * 2 + 3 * 8)


def latents(grid: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 4, grid, grid), torch.zeros(1, dtype=torch.long)


@pytest.mark.parametrize(("width", "heads", "grid"), [(64, 4, 8), (384, 6, 32)])
def test_an_adaln_zero_block_by_hand(width: int, heads: int, grid: int) -> None:
    """Of N D values 20: eight around self-attention (its input before the norm, normed and modulated; q, k, v; what the
    heads and what the projection return), twelve around the MLP (three as before, twice the hidden four, its output).
    Besides two statistics a norm and token, the log-sums of the heads' rows, two scales, SiLU, and six modulations.
    """
    tokens = (grid // 2) ** 2
    block = 20 * tokens * width + tokens * (4 + heads) + (2 + 1 + 6) * width
    model = DiT(4, grid, 2, width, 3, heads)
    parts = dict(describe(model, *latents(grid), Conditioning()).root.walk(2))
    assert parts["blocks.1"].activation_bytes == parts["blocks.2"].activation_bytes == 4 * block
    assert parts["blocks.0"].activation_bytes == 4 * (block + width)  # and the embedding, which all of them read
    assert parts["blocks"].activation_bytes == 4 * (3 * block + width)


def test_probabilities_are_kept_by_the_explicit_backend_alone() -> None:
    tokens, heads, width = 64, 4, 32
    fused, explicit = (
        kept(DiT(4, 16, 2, width, 1, heads, attention=name), *latents(16), Conditioning())
        for name in ("sdpa", "explicit")
    )
    assert explicit - fused == 4 * (heads * tokens**2 - heads * tokens)  # and no log-sums of rows


def really_saved(module: nn.Module, *inputs: Any) -> int:
    """Bytes of the distinct storages that autograd saves in a real pass."""
    ours = {p.untyped_storage().data_ptr() for p in [*module.parameters(), *module.buffers()]}
    seen: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        output = module(*inputs)
    total = sum(t.untyped_storage().nbytes() for address, t in seen.items() if address not in ours)
    del output
    return total


def networks() -> Iterator[Any]:
    common: dict[str, Any] = {"context_width": 24, "vector_width": 16}
    for conditioning in ("adaln_zero", "adaln", "cross_attention", "in_context"):
        yield pytest.param(DiT(4, 16, 2, 32, 2, 4, conditioning=conditioning, **common), id=conditioning)
    sizes: dict[str, Any] = {"model_channels": 32, "multipliers": (1, 2), "residual_blocks": 1}
    yield pytest.param(UNet(4, 16, **sizes, **common), id="unet")
    yield pytest.param(
        UNet(4, 16, attention_block="plain", residual_resampling=True, adaptive_norm=True, **sizes, **common),
        id="plain unet",
    )


@pytest.mark.parametrize("network", networks())
def test_as_many_bytes_as_a_real_pass_saves(network: nn.Module) -> None:
    """Within 2 %: kernels differ in which small statistics they keep."""
    x, timesteps = latents(16)
    cond = Conditioning(torch.zeros(1, 9, 24), None, torch.zeros(1, 16))
    counted, saved = kept(network, x, timesteps, cond), really_saved(network, x, timesteps, cond)
    assert counted == pytest.approx(saved, rel=0.02)


def test_an_autoencoders_attention_keeps_no_probabilities() -> None:
    """N x N of them would be 64 MiB at 64 x 64 positions, where all else is below sixteen."""
    probabilities = (64 * 64) ** 2 * 4
    assert kept(Encoder(4, (1,), 1, 4, (), 4, 1), torch.zeros(1, 3, 64, 64)) < probabilities / 4


def test_a_method_and_what_it_does_itself_belong_to_the_module() -> None:
    class Squares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 6)

        def run(self, x: Tensor) -> Tensor:
            return self.linear(x).square()

    root = describe(Squares(), torch.zeros(2, 4), method="run").root
    assert root.activation_bytes == 4 * (2 * 4 + 2 * 6)
    assert root.children[0].activation_bytes == 4 * 2 * 4


def test_the_hooks_are_gone_afterwards() -> None:
    model = nn.Linear(3, 3)
    kept(model, torch.zeros(1, 3))
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
    with pytest.raises(RuntimeError):
        kept(model, torch.zeros(1, 4))
    assert not torch.nn.modules.module._global_forward_hooks
