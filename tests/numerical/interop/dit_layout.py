"""A small network in the layout of DiT's authors (Peebles & Xie 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH, HEADS, DEPTH, PATCH, SIDE = 48, 4, 3, 2, 4


def positions() -> Tensor:
    """The table as the authors' code stores it: x first, each half sines then cosines."""
    quarter = WIDTH // 4
    omega = 1 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    rows = []
    for y in range(SIDE):
        for x in range(SIDE):
            rows.append(torch.cat([f(place * omega) for place in (x, y) for f in (torch.sin, torch.cos)]))
    return torch.stack(rows)[None].float()


def random_state(classes: int) -> dict[str, Tensor]:
    """Every tensor of a file, with random values."""
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj": (WIDTH, 4, PATCH, PATCH),
        "t_embedder.mlp.0": (WIDTH, 256),
        "t_embedder.mlp.2": (WIDTH, WIDTH),
        "final_layer.linear": (PATCH * PATCH * 8, WIDTH),
        "final_layer.adaLN_modulation.1": (2 * WIDTH, WIDTH),
    }
    for block in range(DEPTH):
        shapes |= {
            f"blocks.{block}.attn.qkv": (3 * WIDTH, WIDTH),
            f"blocks.{block}.attn.proj": (WIDTH, WIDTH),
            f"blocks.{block}.mlp.fc1": (4 * WIDTH, WIDTH),
            f"blocks.{block}.mlp.fc2": (WIDTH, 4 * WIDTH),
            f"blocks.{block}.adaLN_modulation.1": (6 * WIDTH, WIDTH),
        }
    generator = torch.Generator().manual_seed(0)
    state = {f"{name}.weight": 0.15 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    state |= {f"{name}.bias": 0.15 * torch.randn(shape[0], generator=generator) for name, shape in shapes.items()}
    table = 0.15 * torch.randn(classes + 1, WIDTH, generator=generator)
    return {**state, "y_embedder.embedding_table.weight": table, "pos_embed": positions()}
