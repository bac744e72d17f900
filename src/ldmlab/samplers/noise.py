"""Noise that belongs to a picture, not to its place in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def picture_seeds(seed: int, count: int, first: int = 0) -> list[int]:
    """Seeds of pictures first ... first + count - 1 under one seed: the same whatever the count and the batches."""
    sequence = [np.random.SeedSequence([seed, index]) for index in range(first, first + count)]
    return [int(s.generate_state(1, np.uint64)[0] >> 1) for s in sequence]


class PictureNoise:
    """Draws N(0, 1) noise for a batch in which each picture has a generator of its own.

    Args:
        seeds: one seed a picture.
        shape: of one picture's latents.
        device: where the noise is wanted; it is drawn on the CPU, so that devices agree.
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = tuple(shape)
        self.device = device

    def draw(self) -> Tensor:
        """The next noise of every picture, (B, *shape)."""
        return torch.stack([torch.randn(self.shape, generator=g) for g in self.generators]).to(self.device)

    def like(self, x: Tensor) -> Tensor:
        """The next noise in the dtype of `x`: a sampler's `step_noise`."""
        return self.draw().to(x)
