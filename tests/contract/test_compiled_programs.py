"""How many programs compiled networks are, by a backend that counts them and runs each as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.dit_blocks import BLOCKS
from ldmlab.backbones.unet import UNet
from ldmlab.types import AttentionSite, Conditioning, Uncontrolled

UNET: dict[str, Any] = {"model_channels": 32, "multipliers": (1,), "residual_blocks": 1, "attention_factors": (1,)}


@pytest.fixture
def programs() -> Iterator[list[int]]:
    """The programs compiled so far, by their number of operations."""
    torch._dynamo.reset()
    yield []
    torch._dynamo.reset()


def compile_each(modules: Iterable[nn.Module], programs: list[int]) -> None:
    def backend(program: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., Any]:
        programs.append(len(program.graph.nodes))
        return program.forward

    for module in modules:
        module.compile(backend=backend)


def inputs(rows: int, text: bool = True) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(rows)
    context = torch.randn(rows, 5, 6, generator=generator) if text else None
    mask = torch.rand(rows, 5, generator=generator) < 0.7 if text else None
    cond = Conditioning(context, mask, torch.randn(rows, 10, generator=generator))
    return torch.randn(rows, 4, 8, 8, generator=generator), torch.arange(rows), cond


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


WHAT = {True: "text-to-image", False: "class-conditional"}
FIRST = {("adaln_zero", False), ("adaln_zero", True), ("cross_attention", True)}
"""Published ones; the others are slow tests."""
BLOCKS_OF_MODELS = [
    pytest.param(kind, text, id=f"{kind}-{WHAT[text]}", marks=[] if (kind, text) in FIRST else pytest.mark.slow)
    for kind in sorted(BLOCKS)
    for text in WHAT
]


@pytest.mark.parametrize(("kind", "text"), BLOCKS_OF_MODELS)
def test_blocks_share_one_program(kind: str, text: bool, programs: list[int]) -> None:
    """One for all six, at most one more for all further batch sizes; weights keep their names."""
    made = DiT(4, 8, 4, 16, 6, 2, context_width=6 if text else None, vector_width=10, conditioning=kind)
    model = randomised(made)
    names, eager = list(model.state_dict()), model(*inputs(2, text))
    compile_each(made.blocks, programs)
    torch.testing.assert_close(model(*inputs(2, text)), eager, rtol=1e-5, atol=1e-5)
    assert len(programs) == 1
    for rows in (3, 4):
        model(*inputs(rows, text))
    assert len(programs) <= 2
    assert list(model.state_dict()) == names


def test_an_eager_pass_under_a_control_takes_compiled_blocks_no_program(programs: list[int]) -> None:
    """Their `forward` is called as it was written; sites are those that were made when the backbone was built."""

    seen: list[AttentionSite] = []

    class Reads(Uncontrolled):
        def wants(self, site: AttentionSite) -> bool:
            seen.append(site)
            return True

    model = DiT(4, 8, 4, 16, 3, 2, context_width=6, vector_width=10)
    compile_each(model.blocks, programs)
    with torch.compiler.set_stance("force_eager"):
        model(*inputs(2), Reads())
        model(*inputs(2), Reads())
    assert programs == []
    first, second = seen[:6], seen[6:]
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_unet_is_one_graph(programs: list[int]) -> None:
    model = UNet(4, 8, context_width=6, vector_width=10, **UNET)
    eager = randomised(model)(*inputs(2))
    compile_each([model], programs)
    torch.testing.assert_close(model(*inputs(2)), eager, rtol=1e-4, atol=1e-4)
    assert len(programs) == 1


def test_an_autoencoder_is_one_graph_each_way(programs: list[int]) -> None:
    model = AutoencoderKL(channels=8, multipliers=(1, 2), residual_blocks=1, norm_groups=4)
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    eager = model.decode(model.moments(images)[0])
    compile_each([model.encoder, model.decoder], programs)
    torch.testing.assert_close(model.decode(model.moments(images)[0]), eager, rtol=1e-4, atol=1e-4)
    assert len(programs) == 2
