"""Models made without memory or without initial values."""

from __future__ import annotations

import torch
from torch import nn

from ldmlab.backbones.embeddings import grid_positions
from ldmlab.models.outline import Uninitialised, without_memory


def make() -> nn.ModuleDict:
    """Layers that are initialised in different ways, and a table."""
    embedding = nn.Embedding(5, 4)
    nn.init.normal_(embedding.weight, std=0.02)
    norm = nn.GroupNorm(2, 4)
    linear = nn.Linear(4, 4)
    nn.init.xavier_uniform_(linear.weight)
    linear.register_buffer("table", grid_positions(2, 2, 8))
    return nn.ModuleDict({"embedding": embedding, "norm": norm, "linear": linear, "conv": nn.Conv2d(3, 4, 3)})


def test_outline_has_names_and_shapes() -> None:
    with without_memory():
        outline = make()
    shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
    assert {name: tensor.shape for name, tensor in outline.state_dict().items()} == shapes
    assert all(tensor.is_meta for tensor in outline.state_dict().values())


def test_uninitialised_model_draws_nothing_and_takes_weights() -> None:
    """What follows from the config is there: buffers are no weights to be loaded."""
    trained = make()
    before = torch.get_rng_state()
    with Uninitialised():
        model = make()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model["linear"].table, grid_positions(2, 2, 8))
    model.load_state_dict(trained.state_dict())
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(model.parameters(), trained.parameters(), strict=True))
