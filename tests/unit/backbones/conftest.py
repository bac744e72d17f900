"""A control that records, and weights that are nowhere zero."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ldmlab.types import AttentionSite


class RecordingControl:
    """Wants every site and changes nothing."""

    def __init__(self) -> None:
        self.sites: list[AttentionSite] = []

    def wants(self, site: AttentionSite) -> bool:
        return True

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        assert probs.shape[2] == site.grid[0] * site.grid[1]
        self.sites.append(site)
        return probs

    def before_step(self, step: int) -> None:
        """Nothing."""

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        return latents


@pytest.fixture
def control() -> RecordingControl:
    return RecordingControl()


@pytest.fixture
def trained() -> Callable[[nn.Module], nn.Module]:
    """Give every parameter a random value, as training would, so that no branch is nothing."""

    def randomise(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return module.eval()

    return randomise
