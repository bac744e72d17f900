"""Noise that belongs to a picture, not to its place in a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

AHEAD = 8
"""Noises of a batch that are drawn and moved at once."""


def picture_seeds(seed: int, count: int, first: int = 0) -> list[int]:
    """Seeds of pictures first ... first + count - 1 under one seed: the same whatever the count and the batches."""
    sequence = [np.random.SeedSequence([seed, index]) for index in range(first, first + count)]
    return [int(s.generate_state(1, np.uint64)[0] >> 1) for s in sequence]


class PictureNoise:
    """Draws N(0, 1) noise for a batch in which each picture has a generator of its own.

    It is drawn on the CPU, so that devices agree. For another device the first comes alone and later ones `AHEAD` at a
    time, in one transfer that nobody waits for.

    Args:
        seeds: one seed a picture.
        shape: of one picture's latents.
        device: where the noise is wanted.
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = tuple(shape)
        self.device = torch.device(device)
        self._drawn = self._all()

    def draw(self) -> Float[Tensor, "B *shape"]:
        """The next noise of every picture."""
        return next(self._drawn)

    def like(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
        """The next noise in the dtype of `x`: a sampler's `step_noise`."""
        return self.draw().to(x)

    def _all(self) -> Iterator[Tensor]:
        yield from self._block(1)
        while True:
            yield from self._block(1 if self.device.type == "cpu" else AHEAD)

    def _block(self, count: int) -> Iterable[Tensor]:
        noise = torch.stack([torch.stack([self._one(g) for g in self.generators]) for _ in range(count)])
        if self.device.type == "cuda" and torch.cuda.is_available():
            noise = noise.pin_memory()
        return noise.to(self.device, non_blocking=True)

    def _one(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.shape, generator=generator)
