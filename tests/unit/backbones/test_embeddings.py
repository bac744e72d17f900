"""Embeddings against formulas written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ldmlab.backbones.embeddings import TimestepEmbedding, VectorProjection, grid_positions, sinusoidal, with_concat
from ldmlab.types import Conditioning


def test_time_frequencies_divide_by_half_and_cosines_come_first() -> None:
    t = np.array([0.0, 1.0, 999.0])
    frequencies = 10000.0 ** (-np.arange(128) / 128)
    angles = t[:, None] * frequencies
    wanted = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    found = sinusoidal(torch.from_numpy(t), 256)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sinusoidal(torch.from_numpy(t).float(), 256).numpy(), wanted, atol=2e-4)


@pytest.mark.parametrize(("rows", "columns", "width"), [(2, 3, 8), (4, 4, 16), (16, 16, 384)])
def test_grid_positions_are_x_then_y_each_sine_then_cosine(rows: int, columns: int, width: int) -> None:
    quarter = width // 4
    omega = 1 / 10000 ** (np.arange(quarter) / quarter)
    wanted = []
    for y in range(rows):
        for x in range(columns):
            halves = [[np.sin(p * omega), np.cos(p * omega)] for p in (x, y)]
            wanted.append(np.concatenate([part for half in halves for part in half]))
    table = grid_positions(rows, columns, width)
    assert table.dtype == torch.float32
    np.testing.assert_array_equal(table.numpy(), np.array(wanted).astype(np.float32))


def test_positions_need_a_multiple_of_four() -> None:
    with pytest.raises(ValueError, match=r"backbone.width=30: .* multiple of 4"):
        grid_positions(2, 2, 30)


def test_timestep_embedding_follows_its_weights_dtype() -> None:
    embedding = TimestepEmbedding(16, 8).bfloat16()
    assert embedding(torch.tensor([0, 999])).dtype == torch.bfloat16
    assert embedding(torch.tensor([0, 999])).shape == (2, 8)


def test_vector_projection_is_the_identity_at_its_own_width() -> None:
    vector = torch.randn(2, 8)
    assert VectorProjection(8, 8)(vector) is vector
    assert VectorProjection(8, 12)(vector).shape == (2, 12)


def test_concat_follows_the_latents() -> None:
    x, extra = torch.zeros(2, 3, 4, 4), torch.ones(2, 2, 4, 4)
    joined = with_concat(x, Conditioning(concat=extra))
    assert joined.shape == (2, 5, 4, 4)
    assert torch.equal(joined[:, 3:], extra)
    assert with_concat(x, Conditioning()) is x
