"""What is kept of the features of a set of images: memory that does not grow with their number.

Shapes: B images of a batch, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 1024
"""Images whose features are summed at once."""

Sink = Callable[[Float[Tensor, "B F"], int], None]
"""Is given a block of features, and the number of its first image."""


class FeatureBlocks:
    """Passes features on, on the CPU in float64, in blocks of one size whatever batches the images come in.

    So figures are the same to the last bit for any size of batches.

    Args:
        name: of the set of images, for errors.
        sink: takes the blocks.

    Attributes:
        count: images that have come.
        width: F, 0 before the first.
    """

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink
        self.count = 0
        self._passed = 0
        self.width = 0
        self._waiting: list[Tensor] = []

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in a batch, one vector an image.

        Raises:
            ValueError: NaN or infinite features, naming the image.
        """
        require_finite(f"{self.name} image", features, self.count)
        self.count += len(features)
        self.width = features.shape[1]
        self._waiting.append(features.detach().to("cpu", torch.float64))
        if sum(map(len, self._waiting)) >= BLOCK:
            *whole, rest = torch.cat(self._waiting).split(BLOCK)
            if len(rest) == BLOCK:
                whole, rest = [*whole, rest], rest[:0]
            self._waiting = [rest]
            self._pass_on(whole)

    def close(self) -> None:
        """Pass on what is left."""
        rest, self._waiting = self._waiting, []
        if sum(map(len, rest)):
            self._pass_on([torch.cat(rest)])

    def _pass_on(self, blocks: list[Tensor]) -> None:
        for block in blocks:
            self.sink(block, self._passed)
            self._passed += len(block)


@dataclass
class FeatureStatistics:
    """Number, sum and outer products of features in float64: what a Gaussian fitted to them is made of.

    Attributes:
        count: N, how many have come.
        sum: (F,) of them; 0 before the first.
        products: (F, F), the sum of their outer products; 0 before the first.
    """

    count: int = 0
    sum: Tensor | float = 0.0
    products: Tensor | float = 0.0

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in the features of a batch."""
        exact = features.detach().to("cpu", torch.float64)
        self.count += len(exact)
        self.sum = self.sum + exact.sum(dim=0)
        self.products = self.products + exact.T @ exact

    def without(self, part: FeatureStatistics) -> FeatureStatistics:
        """The statistics of the images that are not in a part."""
        return FeatureStatistics(self.count - part.count, self.sum - part.sum, self.products - part.products)

    @property
    def mean(self) -> Float[Tensor, " F"]:
        """The mean of the features that have come."""
        return torch.as_tensor(self.sum / self.count)

    @property
    def covariance(self) -> Float[Tensor, "F F"]:
        """The unbiased covariance of the features that have come, N of at least 2."""
        centred = self.products - self.count * torch.outer(self.mean, self.mean)
        return torch.as_tensor(centred / (self.count - 1))


def require_finite(name: str, values: Float[Tensor, "B F"], before: int = 0) -> None:
    """Refuse features, or logits, that are no numbers.

    Args:
        name: what an image of the set is called.
        values: one vector an image.
        before: images that came before these.

    Raises:
        ValueError: naming the first image that has some.
    """
    finite = torch.isfinite(values).flatten(1).all(dim=1)
    if not bool(finite.all()):
        first = before + int((~finite).nonzero()[0, 0])
        raise ValueError(
            f"the features of {name} {first} hold NaN or infinite values; look for NaN in the pictures or the extractor"
        )


def require_some(name: str, count: int) -> None:
    """Refuse a set without a pair.

    Raises:
        ValueError: naming the set.
    """
    if count < 2:
        given = f"{count} was given" if count else "none was given, the set is empty"
        raise ValueError(f"{name}: {given}; give N >= 2")
