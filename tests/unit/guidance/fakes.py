"""A denoiser whose answers are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ldmlab.types import Conditioning, Estimate, Level

X = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
LEVEL = Level(torch.tensor(0.6), torch.tensor(0.8))
COND = Conditioning(vector=torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
UNCOND = Conditioning(vector=torch.tensor([[-1.0, 0.5]]).expand(3, 2))


class Denoiser:
    """Estimates x plus the condition's vector, and remembers its calls."""

    def __init__(self, learns_variance: bool = False) -> None:
        self.calls: list[tuple[int, Any]] = []
        self.learns_variance = learns_variance

    def estimate(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Estimate:
        self.calls.append((len(x), control))
        assert cond.vector is not None
        shift = cond.vector[:, :, None, None]
        return Estimate(x + shift, x - shift if self.learns_variance else None)
