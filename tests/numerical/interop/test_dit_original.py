"""The layout of DiT's authors, against the paper's network written out on its tensors (Peebles & Xie 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from .dit_layout import DEPTH, HEADS, PATCH, SIDE, WIDTH, random_state

CLASSES = 10
Import = Callable[..., dict[str, Any]]
Error = Callable[[Tensor, Tensor], float]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(CLASSES)


def dit(state: dict[str, Tensor], x: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
    """Patches, adaLN-Zero blocks, final layer; in float64 but for the angles of time, whose rounding counts."""
    weights = {name: tensor.double() for name, tensor in state.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Tensor) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-6).sqrt()

    batch, side = len(x), SIDE * PATCH
    angles = timesteps[:, None] * torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / 128)
    time = linear(torch.cat([angles.cos(), angles.sin()], 1).double(), "t_embedder.mlp.0")
    c = F.silu(linear(F.silu(time), "t_embedder.mlp.2") + weights["y_embedder.embedding_table.weight"][labels])
    h = F.conv2d(x.double(), weights["x_embedder.proj.weight"], weights["x_embedder.proj.bias"], stride=PATCH)
    h = h.flatten(2).mT + weights["pos_embed"]
    for block in range(DEPTH):
        at = f"blocks.{block}."
        parts = linear(c, f"{at}adaLN_modulation.1")[:, None].chunk(6, dim=-1)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts
        qkv = linear(norm(h) * (1 + scale) + shift, f"{at}attn.qkv")
        q, k, v = qkv.reshape(batch, -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        probs = (q @ k.mT / (WIDTH // HEADS) ** 0.5).softmax(-1)
        h = h + gate * linear((probs @ v).transpose(1, 2).reshape(batch, -1, WIDTH), f"{at}attn.proj")
        hidden = F.gelu(linear(norm(h) * (1 + mlp_scale) + mlp_shift, f"{at}mlp.fc1"), approximate="tanh")
        h = h + mlp_gate * linear(hidden, f"{at}mlp.fc2")
    shift, scale = linear(c, "final_layer.adaLN_modulation.1")[:, None].chunk(2, dim=-1)
    out = linear(norm(h) * (1 + scale) + shift, "final_layer.linear").reshape(batch, SIDE, SIDE, PATCH, PATCH, 8)
    return out.permute(0, 5, 1, 3, 2, 4).reshape(batch, 8, side, side)


@pytest.mark.parametrize("wrapped", [False, True])
def test_output(
    wrapped: bool, state: dict[str, Tensor], imported: Import, relative_error: Error, tmp_path: Path
) -> None:
    """The released file is a state dict; a training checkpoint holds one under `ema` and one under `model`."""
    raw = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": raw, "ema": state} if wrapped else state, tmp_path / "dit.pt")
    ours = imported(tmp_path / "dit.pt", heads=HEADS)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    timesteps, labels = torch.tensor([0, 700]), [3, 9]
    with torch.no_grad():
        got = ours["backbone"](x, timesteps, ours["conditioner"]({"labels": labels}))
        null = ours["backbone"](x, timesteps, ours["conditioner"].null(2))
    assert relative_error(got.double(), dit(state, x, timesteps, torch.tensor(labels))) < 1e-5
    assert relative_error(null.double(), dit(state, x, timesteps, torch.tensor([CLASSES, CLASSES]))) < 1e-5
    assert ours["conditioner"].classes == CLASSES


def test_another_table_of_positions_is_another_model(
    state: dict[str, Tensor], imported: Import, tmp_path: Path
) -> None:
    torch.save({**state, "pos_embed": state["pos_embed"].flip(1)}, tmp_path / "dit.pt")
    with pytest.raises(ValueError, match="'pos_embed' is not the fixed table of sines and cosines"):
        imported(tmp_path / "dit.pt", heads=HEADS)


def test_heads_are_asked_for(state: dict[str, Tensor], imported: Import, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "dit.pt")
    with pytest.raises(ValueError, match="a DiT of width 48 splits its attention; give heads=1"):
        imported(tmp_path / "dit.pt")
