"""Draws for the rows of a shared batch."""

from __future__ import annotations

import torch

from ldmlab.draws import Draws

CPU = torch.device("cpu")


def drawn(rows: slice, count: int) -> list[torch.Tensor]:
    draws = Draws(12, rows, torch.Generator().manual_seed(3))
    like = torch.empty(count, 2, 5)
    return [draws.randn_like(like), draws.rand(3, device=CPU), draws.rand(device=CPU), draws.randint(7, 2, device=CPU)]


def test_a_row_gets_the_same_numbers_whoever_has_it() -> None:
    """In contiguous shares, as in training, and in every fourth row, as in validation."""
    whole = drawn(slice(None), 12)
    assert [each.shape for each in whole] == [(12, 2, 5), (12, 3), (12,), (12, 2)]
    for rows in [slice(3 * rank, 3 * rank + 3) for rank in range(4)] + [slice(rank, None, 4) for rank in range(4)]:
        for share, all_rows in zip(drawn(rows, 3), whole, strict=True):
            assert torch.equal(share, all_rows[rows])


def test_without_a_generator_it_is_pytorchs_own() -> None:
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    assert torch.equal(Draws(4).rand(device=CPU), expected)
