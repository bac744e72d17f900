"""Bytes and floats."""

from __future__ import annotations

import pytest
import torch

from ldmlab.conditioners.pixels import as_bytes, as_stored, batch_tensor, signed


def test_bytes_come_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_bytes(signed(every)), every)
    assert torch.equal(as_stored(signed(every)), signed(every))


def test_stored_is_rounded_and_clamped() -> None:
    assert as_stored(torch.tensor([-1.3, 2 * 100.4 / 255 - 1, 1.1])).tolist() == [-1, signed(torch.tensor(100)), 1]


def test_a_sequence_is_stacked() -> None:
    rows = torch.randn(2, 3, 4, 4)
    assert torch.equal(batch_tensor({"images": list(rows)}, "images", "x", rows.device), rows)
    assert batch_tensor({"images": rows}, "images", "x", rows.device) is rows
    with pytest.raises(ValueError, match="conditioner 'x' reads 'images', which the data lacks"):
        batch_tensor({}, "images", "x", rows.device)
