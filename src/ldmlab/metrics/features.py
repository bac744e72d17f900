"""Collecting the feature vectors of a set of images, each image once, over any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch import distributed as dist


class FeatureBank:
    """The features of a set of images, kept on the CPU in float64.

    A distributed sampler repeats samples until every rank has equally many; the repeats would bias every metric.
    With the samples' positions given, each counts once, and the order is the positions' whatever the batches were.
    """

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._positions: list[Tensor] = []
        self._numbered: bool | None = None

    def update(self, features: Float[Tensor, "B F"], positions: Sequence[int] | None = None) -> None:
        """Add a batch.

        Args:
            features: one vector an image.
            positions: where the images stand in the whole set; needed with more than one rank.

        Raises:
            ValueError: NaN or infinite features, or positions given for some batches only.
        """
        if not bool(torch.isfinite(features).all()):
            raise ValueError("features hold NaN or infinite values; look for NaN in the images or the extractor")
        if self._numbered not in (None, positions is not None):
            raise ValueError("positions are given for some batches only; give them for all or for none")
        self._numbered = positions is not None
        start = sum(map(len, self._features))
        rows = range(start, start + len(features)) if positions is None else positions
        self._features.append(features.detach().to("cpu", torch.float64))
        self._positions.append(torch.tensor(list(rows), dtype=torch.int64))

    def collect(self) -> Float[Tensor, "N F"]:
        """Return the features of all ranks in the order of their positions, every position once.

        Raises:
            ValueError: nothing was added, or several ranks added features without positions.
        """
        if not self._features:
            raise ValueError("no image was given; the set is empty")
        features, positions = torch.cat(self._features), torch.cat(self._positions)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            if not self._numbered:
                raise ValueError("positions are missing with more than one rank; give update() each sample's position")
            features, positions = _gather(features, positions)
        return features[_first_of_each(positions)]


def _gather(features: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Concatenate what the ranks hold, which may differ in length."""
    parts: list[tuple[Tensor, Tensor]] = [(features, positions)] * dist.get_world_size()
    dist.all_gather_object(parts, (features, positions))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _first_of_each(positions: Int64[Tensor, " N"]) -> Int64[Tensor, " M"]:
    """Return the rows that hold each position first, in the order of the positions."""
    order = torch.sort(positions, stable=True)
    keep = torch.ones_like(positions, dtype=torch.bool)
    keep[1:] = order.values[1:] != order.values[:-1]
    return order.indices[keep]
