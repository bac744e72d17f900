"""Every network on a GPU: as on a CPU, in halves as in fp32, and compiled as written, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.dit_blocks import BLOCKS
from ldmlab.backbones.unet import UNet
from ldmlab.compiling import compile_networks
from ldmlab.types import Conditioning

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
WIDTHS: dict[str, Any] = {"channels": 4, "grid": 16, "context_width": 32, "vector_width": 48}
UNET: dict[str, Any] = {"model_channels": 64, "multipliers": (1, 2), "residual_blocks": 1}


def dit(conditioning: str) -> nn.Module:
    return DiT(width=128, depth=3, heads=4, conditioning=conditioning, **WIDTHS)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{f"dit, {kind}": partial(dit, kind) for kind in BLOCKS},
    "unet": lambda: UNet(**WIDTHS, **UNET),
    "unet, plain attention": lambda: UNet(**WIDTHS, **UNET, attention_block="plain", adaptive_norm=True),
    "decoder": lambda: Decoding(AutoencoderKL(channels=64, multipliers=(1, 2), residual_blocks=1)),
}


class Decoding(nn.Module):
    """An autoencoder, called as a backbone is."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning) -> Tensor:
        return self.autoencoder.decode(x)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """On the CPU, with weights of which none is zero."""
    torch.manual_seed(0)
    made = NETWORKS[request.param]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return made.eval()


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """fp32 is fp32, whatever a test before has set."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def inputs(rows: int, device: str) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(rows)
    lengths = torch.arange(rows) % 5 + 3
    cond = Conditioning(
        torch.randn(rows, 9, 32, generator=generator),
        torch.arange(9) < lengths[:, None],
        torch.randn(rows, 48, generator=generator),
    )
    x = torch.randn(rows, 4, 16, 16, generator=generator)
    return x.to(device), torch.arange(rows, device=device) * 100, cond.map(lambda field: field.to(device))


def results(network: nn.Module, device: str, half: bool = False, rows: int = 4) -> list[Tensor]:
    """The output, and the gradient of every parameter."""
    network.zero_grad()
    with torch.autocast(device, torch.bfloat16) if half else nullcontext():
        out = network(*inputs(rows, device))
    out.float().sin().mean().backward()
    return [out.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]


def error(found: list[Tensor], wanted: list[Tensor]) -> float:
    """The distance over the length, of the output and of all gradients together; the larger of the two."""
    assert len(found) == len(wanted)
    parts = [
        (torch.cat([t.double().cpu().flatten() for t in side]) for side in (found[part], wanted[part]))
        for part in (slice(1), slice(1, None))
    ]
    return max(float((a - b).norm() / b.norm()) for a, b in parts)


def test_a_gpu_agrees_with_a_cpu(network: nn.Module) -> None:
    wanted = results(network, "cpu")
    assert error(results(network.to(DEVICE), DEVICE), wanted) < 1e-4


def test_halves_agree_with_fp32(network: nn.Module) -> None:
    network.to(DEVICE)
    wanted = results(network, DEVICE)
    assert error(results(network.to(memory_format=torch.channels_last), DEVICE, half=True), wanted) < 3e-2


@pytest.mark.parametrize("network", ["dit, adaln_zero", "unet", "decoder"], indirect=True)
def test_a_program_computes_what_is_written(network: nn.Module) -> None:
    network.to(DEVICE)
    wanted = results(network, DEVICE, half=True)
    torch._dynamo.reset()
    compile_networks([network.autoencoder.decoder.layers if isinstance(network, Decoding) else network])
    assert error(results(network, DEVICE, half=True), wanted) < 3e-2
