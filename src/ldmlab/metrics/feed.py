"""How metrics get what they read: every image passes the extractor once, and none is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from ldmlab.metrics.base import Metric, parameters
from ldmlab.metrics.extractors import FeatureExtractor
from ldmlab.metrics.features import FeatureBlocks

OF_EXTRACTOR = frozenset({"features", "logits"})


class Feed:
    """Pictures of one kind (held-out ones, samples) and what is known of each, handed to all that read them.

    Args:
        name: of the pictures, for errors.
        readers: methods `update` or `update_reference` of metrics; the names of their parameters say what they read.
        extractor: gives features and logits, if any of them reads those.

    Attributes:
        count: pictures that have come.
    """

    def __init__(self, name: str, readers: Iterable[Callable[..., None]], extractor: FeatureExtractor) -> None:
        self.name = name
        self.count = 0
        self._extractor = extractor
        self._by_block: list[tuple[Callable[..., None], dict[str, bool]]] = []
        self._by_batch: list[tuple[Callable[..., None], dict[str, bool]]] = []
        for reader in readers:
            names = parameters(reader)
            if names:
                (self._by_block if names.keys() <= OF_EXTRACTOR else self._by_batch).append((reader, names))
        self._blocks = FeatureBlocks(name, self._pass_block)

    @property
    def reads(self) -> frozenset[str]:
        """The names of all that is read."""
        return frozenset(name for _, names in (*self._by_block, *self._by_batch) for name in names)

    def require(self, given: Collection[str]) -> None:
        """Refuse metrics that read what there will not be.

        Args:
            given: the names of what `update` will be given; features and logits follow from images.

        Raises:
            ValueError: the metric and what it reads are named.
        """
        known = {*given, *(OF_EXTRACTOR if "images" in given else ())}
        for reader, names in (*self._by_block, *self._by_batch):
            lacking = sorted(name for name, required in names.items() if required and name not in known)
            if lacking:
                metric = type(getattr(unwrap(reader), "__self__", reader)).__name__
                raise ValueError(
                    f"metric: {metric} reads '{lacking[0]}', and of {self.name} pictures there are "
                    f"{', '.join(sorted(known))}; choose another metric"
                )

    @torch.no_grad()
    def update(self, **given: Any) -> None:
        """Hand on a batch of B pictures: `images`, uint8 (B, 3, H, W), if any, and what is known of them by name.

        Raises:
            ValueError: images that are not uint8, or features that are not finite.
        """
        if "images" in given:
            self.count += len(given["images"])
            if self.reads & OF_EXTRACTOR:
                given |= self._extracted(given["images"])
        for reader, names in self._by_batch:
            reader(**{name: given[name] for name in names if name in given})

    def close(self) -> None:
        """Hand on what waits for a whole block.

        Raises:
            ValueError: no picture came.
        """
        if self._by_block or (self._by_batch and not self.count):
            self._blocks.close()

    def _extracted(self, images: Tensor) -> dict[str, Tensor]:
        """Of the images of a batch, for readers of more than that; the others get them by the block."""
        features = self._extractor.features(images)
        self._blocks.update(features)
        mixed = {name for _, names in self._by_batch for name in names}
        return {"features": features, **({"logits": self._extractor.logits(features)} if "logits" in mixed else {})}

    def _pass_block(self, features: Tensor) -> None:
        given = {"features": features}
        if any("logits" in names for _, names in self._by_block):
            given["logits"] = self._extractor.logits(features.float())
        for reader, names in self._by_block:
            reader(**{name: given[name] for name in names})


def figures(metrics: Mapping[str, Metric], prefix: str = "") -> dict[str, float]:
    """The figures of all metrics, in order.

    Args:
        metrics: by name, which is that of a figure that has no other.
        prefix: what the names of all figures begin with.

    Raises:
        ValueError: two metrics give a figure of one name.
    """
    found: dict[str, float] = {}
    for name, metric in metrics.items():
        computed = metric.compute()
        for key, value in (computed if isinstance(computed, Mapping) else {name: computed}).items():
            if f"{prefix}{key}" in found:
                raise ValueError(f"metric: two of them give the figure '{key}'; leave one out")
            found[f"{prefix}{key}"] = float(value)
    return found


def remarks(metrics: Iterable[Metric]) -> list[str]:
    """What all metrics remark on their figures."""
    return [line for metric in metrics for line in metric.remarks()]
