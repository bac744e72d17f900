"""Parameter counts of the published models, without allocating them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.class_label import ClassLabel

DIT_SIZES = {"S": (12, 384, 6), "B": (12, 768, 12), "L": (24, 1024, 16), "XL": (28, 1152, 16)}


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "patch", "grid", "published"),
    [
        ("S", 8, 32, 33_148_160),
        ("S", 4, 32, 32_945_024),
        ("S", 2, 32, 32_963_360),
        ("B", 8, 32, 130_881_536),
        ("B", 4, 32, 130_475_648),
        ("B", 2, 32, 130_512_416),
        ("L", 8, 32, 458_594_816),
        ("L", 4, 32, 458_053_760),
        ("L", 2, 32, 458_102_816),
        ("XL", 8, 32, 675_683_072),
        ("XL", 4, 32, 675_074_432),
        ("XL", 2, 32, 675_129_632),
        ("XL", 2, 64, 676_014_368),
    ],
)
def test_dit(size: str, patch: int, grid: int, published: int) -> None:
    depth, width, heads = DIT_SIZES[size]
    with torch.device("meta"):
        model = DiT(4, grid, patch, width, depth, heads, vector_width=width, out_channels=8)
        labels = ClassLabel(1000, width)
    assert count(model, labels) + model.positions.numel() == published
    if (size, patch, grid) == ("XL", 2, 32):
        assert count(model, labels) == 674_834_720


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        pytest.param(
            {"channels": 4, "model_channels": 320, "multipliers": (1, 2, 4, 4), "heads": 8, "context_width": 768},
            859_520_964,
            id="stable-diffusion-1",
        ),
        pytest.param(
            {"channels": 4, "model_channels": 320, "multipliers": (1, 2, 4, 4), "heads": 8, "context_width": 1280},
            872_300_484,
            id="text-to-image",
        ),
        pytest.param(
            {
                "channels": 3,
                "model_channels": 192,
                "multipliers": (1, 2, 3, 5),
                "attention_factors": (2, 4, 8),
                "head_width": 32,
                "context_width": 512,
            },
            400_920_579,
            id="ldm-4-cin256",
        ),
        pytest.param(
            {
                "channels": 9,
                "out_channels": 4,
                "model_channels": 320,
                "multipliers": (1, 2, 4, 4),
                "heads": 8,
                "context_width": 768,
            },
            859_535_364,
            id="stable-diffusion-inpainting",
        ),
    ],
)
def test_unet(settings: dict[str, Any], published: int) -> None:
    with torch.device("meta"):
        model = UNet(**{"grid": 64, "head_width": None, "residual_blocks": 2, **settings})
    assert count(model) == published
