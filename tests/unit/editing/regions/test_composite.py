"""Masks on both grids, and known pixels to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.editing.regions.composite import check_feather, composite, feathered, latent_mask

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given
from hypothesis import strategies as st


def pictures(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 24), dtype=torch.uint8, generator=generator)


def random_mask(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2)) > 0.7


@given(st.integers(0, 15), st.integers(0, 23))
def test_a_latent_is_free_as_soon_as_one_of_its_pixels_is(row: int, column: int) -> None:
    mask = torch.zeros(16, 24, dtype=torch.bool)
    mask[row, column] = True
    assert latent_mask(mask, 4)[0, 0].nonzero().tolist() == [[row // 4, column // 4]]


def test_latent_masks_of_one_and_of_many() -> None:
    masks = random_mask(3, 16, 24)
    together = latent_mask(masks, 8)
    assert together.shape == (3, 1, 2, 3)
    assert together.dtype == torch.bool
    for mask, expected in zip(masks, together, strict=True):
        assert torch.equal(latent_mask(mask, 8)[0], expected)
    aligned = torch.zeros(16, 24, dtype=torch.bool)
    aligned[8:, :16] = True
    assert latent_mask(aligned, 8)[0, 0].tolist() == [[False, False, False], [True, True, False]]


@pytest.mark.parametrize("feather", [0, 1, 3])
@pytest.mark.parametrize("masks", [(16, 24), (5, 16, 24)])
def test_outside_nothing_changes(masks: tuple[int, ...], feather: int) -> None:
    drawn, known, mask = pictures(5, 0), pictures(1, 1), random_mask(*masks)
    out = composite(drawn, known, mask, feather)
    inside = mask.expand(5, 16, 24)[:, None].expand_as(out)
    assert out.dtype == torch.uint8
    assert torch.equal(out[~inside], known.expand_as(out)[~inside])
    if feather < 2:
        assert torch.equal(out[inside], drawn[inside])


def test_a_feather_by_hand() -> None:
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, 1:] = True
    weight = feathered(mask[None, None], 4)[0, 0]
    torch.testing.assert_close(weight, torch.tensor([[0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]]))  # the edge is no rim
    drawn, known = torch.full((1, 3, 1, 9), 200, dtype=torch.uint8), torch.zeros(1, 3, 1, 9, dtype=torch.uint8)
    assert composite(drawn, known, mask, 4)[0, 0].tolist() == [[0, 50, 100, 150, 200, 200, 200, 200, 200]]


def test_a_negative_feather_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^feather=-1: "):
        check_feather(-1)
    with pytest.raises(ValueError, match=r"^feather=-1: "):
        composite(pictures(1, 0), pictures(1, 1), random_mask(16, 24), -1)
