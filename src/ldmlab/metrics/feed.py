"""How metrics get what they read: every image passes the extractor once, and none is kept.

A batch is read on one rank, alone, and added on every rank in the order of batches.
"""

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
OF_BLOCKS = OF_EXTRACTOR | {"numbers"}
Reading = dict[str, Tensor]
"""What readers take of a batch: the number of its pictures ("count"), their "features", and states of metrics."""


class Feed:
    """Pictures of one kind (held-out ones, samples) and what is known of each, handed to all that read them.

    Args:
        name: of the pictures, for errors.
        readers: methods `update` or `update_reference` of metrics; the names of their parameters say what they read.
        extractor: gives features and logits; none where there are no pictures.

    Attributes:
        count: pictures that have come.
    """

    def __init__(
        self, name: str, readers: Iterable[Callable[..., None]], extractor: FeatureExtractor | None = None
    ) -> None:
        self.name = name
        self.count = 0
        self._passed = 0
        self._extractor = extractor
        self._by_block: list[tuple[Callable[..., None], dict[str, bool]]] = []
        self._by_batch: list[tuple[Callable[..., None], dict[str, bool]]] = []
        for reader in readers:
            names = parameters(reader)
            if names:
                (self._by_block if names.keys() <= OF_BLOCKS else self._by_batch).append((reader, names))
        self._blocks = FeatureBlocks(name, self._pass_block)

    @property
    def reads(self) -> frozenset[str]:
        """The names of all that is read."""
        return frozenset(name for _, names in (*self._by_block, *self._by_batch) for name in names)

    @property
    def joins(self) -> bool:
        """Whether what batches leave in metrics can be joined, see `Metric.joins`."""
        return all(_metric_of(reader).joins for reader, _ in self._by_batch)

    def require(self, given: Collection[str]) -> None:
        """Refuse metrics that read what there will not be.

        Args:
            given: the names of what `read` will be given; features, logits and numbers follow from images.

        Raises:
            ValueError: the metric and what it reads are named.
        """
        known = {*given, *(OF_BLOCKS if "images" in given else ())}
        for reader, names in (*self._by_block, *self._by_batch):
            lacking = sorted(name for name, required in names.items() if required and name not in known)
            if lacking:
                raise ValueError(
                    f"metric: {_name_of(reader)} reads '{lacking[0]}', and of {self.name} pictures there are "
                    f"{', '.join(sorted(known))}; choose another metric"
                )

    def require_joining(self) -> None:
        """Refuse metrics that cannot be taken in on several ranks.

        Raises:
            ValueError: naming one.
        """
        for reader, _ in self._by_batch:
            if not _metric_of(reader).joins:
                raise ValueError(
                    f"metric: {_name_of(reader)} has no states that ranks can join; add them with add_sum, or with "
                    "add_state and dist_reduce_fx, or measure with devices=1"
                )

    @torch.no_grad()
    def read(self, first: int, **given: Any) -> Reading:
        """What is taken of a batch of B pictures. Nothing is changed but metrics whose states do not join.

        Args:
            first: the number of its first picture.
            **given: `images`, uint8 (B, 3, H, W), if any, and what is known of them by name.

        Raises:
            ValueError: images that are not uint8.
        """
        reading: Reading = {}
        if "images" in given:
            count = len(given["images"])
            given["numbers"] = list(range(first, first + count))
            reading["count"] = torch.tensor(count)
            if self._extractor is not None and self.reads & OF_EXTRACTOR:
                given |= self._extracted(self._extractor, given["images"])
                reading["features"] = given["features"].detach().cpu()
        for place, (reader, names) in enumerate(self._by_batch):
            for name, state in _left(reader, {name: given[name] for name in names if name in given}).items():
                reading[f"{place}.{name}"] = state
        return reading

    def add(self, reading: Reading) -> None:
        """Hand on what was read of the next batch.

        Raises:
            ValueError: features that are not finite.
        """
        self.count += int(reading.get("count", 0))
        if "features" in reading:
            self._blocks.update(reading["features"])
        for place, (reader, _) in enumerate(self._by_batch):
            metric = _metric_of(reader)
            if metric.joins:
                own = {name: state for name, state in reading.items() if name.startswith(f"{place}.")}
                metric.join({name.partition(".")[2]: state for name, state in own.items()})

    def update(self, **given: Any) -> None:
        """Hand on a batch of B pictures, see `read` and `add`."""
        self.add(self.read(self.count, **given))

    def close(self) -> None:
        """Hand on what waits for a whole block.

        Raises:
            ValueError: no picture came.
        """
        if self._by_block or (self._by_batch and not self.count):
            self._blocks.close()

    def _extracted(self, extractor: FeatureExtractor, images: Tensor) -> dict[str, Tensor]:
        """Of the images of a batch, for readers of more than that; the others get them by the block."""
        features = extractor.features(images)
        mixed = {name for _, names in self._by_batch for name in names}
        return {"features": features, **({"logits": extractor.logits(features)} if "logits" in mixed else {})}

    def _pass_block(self, features: Tensor) -> None:
        given: dict[str, Any] = {"features": features}
        given["numbers"] = list(range(self._passed, self._passed + len(features)))
        self._passed += len(features)
        if self._extractor is not None and any("logits" in names for _, names in self._by_block):
            given["logits"] = self._extractor.logits(features.float())
        for reader, names in self._by_block:
            reader(**{name: given[name] for name in names})


def _left(reader: Callable[..., None], given: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a batch leaves in a metric's states, by itself."""
    metric = _metric_of(reader)
    if metric.joins:
        return metric.alone(lambda: reader(**given))
    reader(**given)
    return {}


def _metric_of(reader: Callable[..., None]) -> Metric:
    metric: Metric = unwrap(reader).__self__
    return metric


def _name_of(reader: Callable[..., None]) -> str:
    return type(_metric_of(reader)).__name__


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
