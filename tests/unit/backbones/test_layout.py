"""How features lie in memory: tokens as tokens, so that no norm has to copy them, and images as they came."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.types import Conditioning

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "dit": lambda: DiT(4, 8, width=32, depth=2, heads=2, context_width=6),
    "unet": lambda: UNet(4, 8, model_channels=32, multipliers=(1, 2), residual_blocks=1, context_width=6),
}
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def given(network: nn.Module, kind: type[nn.Module], layout: torch.memory_format) -> list[Tensor]:
    """What the modules of a kind get in a pass through weights and latents of a layout."""
    seen: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, cond = torch.randn(2, 4, 8, 8), Conditioning(context=torch.randn(2, 3, 6))
    network.to(memory_format=layout)(x.contiguous(memory_format=layout), torch.tensor([0, 1]), cond)
    assert seen
    return seen


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_norms_of_tokens_copy_nothing(name: str, layout: torch.memory_format) -> None:
    assert all(tokens.is_contiguous() for tokens in given(NETWORKS[name](), nn.LayerNorm, layout))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_images_keep_their_layout_around_tokens(layout: torch.memory_format) -> None:
    images = given(NETWORKS["unet"](), nn.GroupNorm, layout)
    assert all(image.is_contiguous(memory_format=layout) for image in images)
