from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ldmlab.backbones.checkpointing import Checkpointing
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.compiling import compile_networks
from ldmlab.types import Conditioning

X, TIMESTEPS = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 700])
COND = Conditioning(context=torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)))
Trained = Callable[[nn.Module], nn.Module]


def unet() -> UNet:
    return UNet(4, 4, 32, multipliers=(1,), residual_blocks=1, attention_factors=(1,), context_width=16, dropout=0.5)


def dit() -> DiT:
    return DiT(4, 4, width=16, depth=3, heads=2, context_width=16)


def gradients(network: Checkpointing) -> dict[str, Tensor]:
    network.zero_grad()
    torch.manual_seed(2)  # decides the dropout
    network(X, TIMESTEPS, COND).square().sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def kept(network: Checkpointing) -> int:
    """Values that the way back would find."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(X, TIMESTEPS, COND)
    assert out.requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("make", [unet, dit])
def test_gradients_are_those_without_and_less_is_kept(make: Callable[[], Checkpointing], trained: Trained) -> None:
    torch.manual_seed(0)
    network = trained(make()).train()
    assert isinstance(network, Checkpointing)
    plain, all_kept = gradients(network), kept(network)
    network.checkpointing = True
    again = gradients(network)
    assert list(again) == list(plain)
    for name, gradient in plain.items():
        assert torch.equal(again[name], gradient), name
    assert kept(network) < all_kept / 2


def test_it_goes_with_compiled_blocks(trained: Trained) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    network = trained(dit()).train()
    assert isinstance(network, Checkpointing)
    plain = gradients(network)
    network.checkpointing = True
    compile_networks([network], "aot_eager")
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-5, atol=1e-5, msg=name)
