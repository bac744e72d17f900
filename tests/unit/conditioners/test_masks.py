"""Random masks."""

from __future__ import annotations

import torch

from ldmlab.conditioners.masks import random_masks
from ldmlab.draws import Draws


def test_shapes_and_shares() -> None:
    masks = random_masks(Draws(300, generator=torch.Generator().manual_seed(1)), 32, 48)
    assert masks.shape == (300, 32, 48)
    assert masks.dtype == torch.bool
    shares = masks.float().mean(dim=(1, 2))
    assert bool((shares > 0).all())
    assert 0.25 < float(shares.mean()) < 0.55
    outside = [mask for mask in masks if bool(mask[:, 0].all() & mask[:, -1].all() & mask[0].all() & mask[-1].all())]
    assert 20 < len(outside) < 140  # what is around a box; one that touches a border is not counted
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 300


def test_a_third_are_boxes() -> None:
    masks = random_masks(Draws(300, generator=torch.Generator().manual_seed(1)), 32, 32)
    boxes = sum(bool((mask.any(1)[:, None] & mask.any(0)[None] == mask).all()) for mask in masks)
    assert 70 < boxes < 130


def test_the_generator_decides() -> None:
    one, same, other = (
        random_masks(Draws(4, generator=torch.Generator().manual_seed(seed)), 16, 16) for seed in (3, 3, 4)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    torch.manual_seed(0)
    first = random_masks(Draws(4), 16, 16)
    torch.manual_seed(0)
    assert torch.equal(random_masks(Draws(4), 16, 16), first)
