"""Parameters and multiply-adds of published networks.

Diffusion Transformers: Peebles & Xie 2023, table 4. UNets: counted on the public models of Rombach et al. 2022.
"""

from __future__ import annotations

import pytest
import torch

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.describe import Description, count_values, describe
from ldmlab.types import Conditioning

CLASSES = 1000
GRID = 32
S = {"width": 384, "depth": 12, "heads": 6}
B = {"width": 768, "depth": 12, "heads": 12}
L = {"width": 1024, "depth": 24, "heads": 16}
XL = {"width": 1152, "depth": 28, "heads": 16}


def described(size: dict[str, int], patch: int, grid: int = GRID, attention: str = "sdpa") -> tuple[Description, int]:
    """A class-conditional DiT with learned variance, and the parameters of its label table."""
    width = size["width"]
    with torch.device("meta"):
        backbone = DiT(4, grid, patch, vector_width=width, out_channels=8, attention=attention, **size)
        labels = ClassLabel(CLASSES, width)
    x, timesteps = torch.empty(1, 4, grid, grid), torch.zeros(1, dtype=torch.long)
    cond = Conditioning(vector=torch.empty(1, width))
    return describe(backbone, x, timesteps, cond), count_values(labels)[0]


@pytest.mark.parametrize(
    ("size", "patch", "grid", "parameters", "gmacs"),
    [
        (S, 8, 32, 33_148_160, 0.358),
        (S, 2, 32, 32_963_360, 6.056),
        (B, 4, 32, 130_475_648, 5.565),
        (L, 2, 32, 458_102_816, 80.698),
        (XL, 2, 32, 675_129_632, 118.621),
        (XL, 2, 64, 676_014_368, 524.538),
    ],
    ids=["S/8", "S/2", "B/4", "L/2", "XL/2", "XL/2 at 512 px"],
)
def test_published_sizes(size: dict[str, int], patch: int, grid: int, parameters: int, gmacs: float) -> None:
    description, label_table = described(size, patch, grid)
    root = description.root
    assert root.trainable + root.buffers + label_table == parameters
    assert root.macs / 1e9 == pytest.approx(gmacs, rel=1e-3)
    assert root.flops == 2 * root.macs
    assert description.tokens == ((grid // patch) ** 2,)


def test_trainable_parameters_leave_the_position_table_out() -> None:
    description, label_table = described(XL, 2)
    assert description.root.trainable + label_table == 674_834_720
    assert description.root.buffers == 256 * 1152


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_products_of_attention_are_counted_with_every_backend(attention: str) -> None:
    """4 N D^2 for the projections and 2 N^2 D for scores and values, per block."""
    description, _ = described(XL, 2, attention=attention)
    parts = dict(description.root.walk(3))
    n, width = 256, 1152
    assert parts["blocks.0.self_attention"].macs == 4 * n * width**2 + 2 * n**2 * width
    assert description.root.macs / 1e9 == pytest.approx(118.621, rel=1e-5)


@pytest.mark.parametrize(
    ("channels", "model_channels", "multipliers", "factors", "heads", "context", "parameters", "gmacs"),
    [
        (3, 192, (1, 2, 3, 5), (2, 4, 8), (None, 32), (1, 512), 400_920_579, 104.22),
        (4, 320, (1, 2, 4, 4), (1, 2, 4), (8, None), (77, 768), 859_520_964, 401.64),
    ],
    ids=["LDM-4 class-conditional", "Stable Diffusion 1"],
)
def test_published_unets(
    channels: int,
    model_channels: int,
    multipliers: tuple[int, ...],
    factors: tuple[int, ...],
    heads: tuple[int | None, int | None],
    context: tuple[int, int],
    parameters: int,
    gmacs: float,
) -> None:
    with torch.device("meta"):
        backbone = UNet(
            channels,
            grid=64,
            model_channels=model_channels,
            multipliers=multipliers,
            attention_factors=factors,
            heads=heads[0],
            head_width=heads[1],
            context_width=context[1],
        )
    x, timesteps = torch.empty(1, channels, 64, 64), torch.zeros(1, dtype=torch.long)
    description = describe(backbone, x, timesteps, Conditioning(context=torch.empty(1, *context)))
    assert description.root.trainable == parameters
    assert description.root.macs / 1e9 == pytest.approx(gmacs, rel=1e-3)
    assert set(description.tokens) == {(64 // factor) ** 2 for factor in (*factors, 8)}  # 8: the middle
    assert description.context_tokens == (context[0],)
