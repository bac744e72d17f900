"""Guidance by a weaker model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.types import Conditioning, Estimate, Level

from .fakes import COND, LEVEL, Denoiser, X


class Weak(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Denoiser()

    def estimate(self, x: Tensor, level: Level, cond: Conditioning, control: Any = None) -> Estimate:
        return Estimate(0.5 * self.inner.estimate(x, level, cond, control).denoised)


def read(batch: Mapping[str, Any]) -> Conditioning:
    return Conditioning(vector=torch.tensor(batch["labels"])[:, None].expand(3, 2).float())


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_away_from_the_weaker_model_under_the_same_condition(scale: float) -> None:
    weak, control = Weak(), object()
    guidance = Autoguidance(scale, weak, read)
    opposite = guidance.opposite({"labels": [1, 2, 3]})
    guided = guidance.bind(Denoiser(learns_variance=True), COND, opposite, control)
    denoised, mix = guided.with_variance(X, LEVEL)
    strong = Denoiser(learns_variance=True).estimate(X, LEVEL, COND)
    poor = 0.5 * (X + torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1))
    torch.testing.assert_close(denoised, poor + scale * (strong.denoised - poor))
    torch.testing.assert_close(mix, strong.variance_mix)
    assert weak.inner.calls == [(3, None)]


def test_bad_use() -> None:
    with pytest.raises(ValueError, match=r"guidance.scale=-1"):
        Autoguidance(-1.0, Weak(), read)
    with pytest.raises(ValueError, match="weaker model"):
        Autoguidance(2.0, Weak(), read).bind(Denoiser(), COND, None)
