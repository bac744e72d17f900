"""How metrics get what they read: every image passes each network once, and none is kept.

A batch is read on one rank, alone, and added on every rank in the order of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from inspect import unwrap
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric, parameters
from ldmlab.metrics.feature_source import FeatureSource
from ldmlab.metrics.features import FeatureBlocks

BY_BLOCK = ("features", "spatial")
"""What is kept of the images of a batch and handed on in blocks."""
OF_EXTRACTOR = frozenset({*BY_BLOCK, "logits", "text_features"})
OF_BLOCKS = frozenset({*BY_BLOCK, "logits", "numbers"})
Reading = dict[str, Tensor]
"""What readers take of a batch: the number of its pictures ("count"), features by network, and states of metrics."""


class Reader(NamedTuple):
    """A method `update` or `update_reference` of a metric.

    Attributes:
        update: the method.
        names: of its parameters, which say what it reads, and whether each has to be given.
        source: of what it reads of a network; None where there is no network.
    """

    update: Callable[..., None]
    names: dict[str, bool]
    source: FeatureSource | None

    @property
    def metric(self) -> Metric:
        """Whose method it is."""
        metric: Metric = unwrap(self.update).__self__
        return metric

    @property
    def by_block(self) -> bool:
        """Whether it is given blocks rather than batches."""
        return self.names.keys() <= OF_BLOCKS and not self.names.keys() >= {*BY_BLOCK}

    @property
    def kind(self) -> str:
        """What its blocks are of."""
        return "spatial" if "spatial" in self.names else "features"


class Feed:
    """Pictures of one kind (held-out ones, samples) and what is known of each, handed to all that read them.

    Args:
        name: of the pictures, for errors.
        updates: methods `update` or `update_reference` of metrics; the names of their parameters say what they read.
        extractor: the network of metrics that have none of their own; none where there are no pictures.

    Attributes:
        count: pictures that have come.
    """

    def __init__(
        self, name: str, updates: Iterable[Callable[..., None]], extractor: FeatureExtractor | None = None
    ) -> None:
        self.name = name
        self.count = 0
        sources: dict[tuple[str, str], FeatureSource] = {}
        self._readers: list[Reader] = []
        for update in updates:
            names = parameters(update)
            if names:
                metric: Metric = unwrap(update).__self__
                self._readers.append(Reader(update, names, _source(metric.extractor or extractor, sources)))
        self._sources = list(sources.values())
        self._by_batch = [reader for reader in self._readers if not reader.by_block]
        for source in self._sources:
            source.wanted = {name for each in self._readers if each.source is source for name in each.names}
        self._blocks = {
            f"{source.key}{kind}": _blocks(name, source, kind, self._readers)
            for source in self._sources
            for kind in BY_BLOCK
        }

    @property
    def reads(self) -> frozenset[str]:
        """The names of all that is read; captions too where a network reads them."""
        names = frozenset(name for reader in self._readers for name in reader.names)
        return names | ({"captions"} if "text_features" in names else set())

    @property
    def joins(self) -> bool:
        """Whether what batches leave in metrics can be joined, see `Metric.joins`."""
        return all(reader.metric.joins for reader in self._by_batch)

    def require(self, given: Collection[str]) -> None:
        """Refuse metrics that read what there will not be.

        Args:
            given: the names of what `read` will be given; what networks tell and numbers follow from images.

        Raises:
            ValueError: the metric and what it reads are named.
        """
        for reader in self._readers:
            known = {*given, *({"numbers"} if "images" in given else ())}
            if reader.source is not None:
                known |= reader.source.offers(given)
            lacking = sorted(name for name, required in reader.names.items() if required and name not in known)
            if lacking:
                if lacking[0] == "text_features" and reader.source is not None and reader.source.reads_texts:
                    lacking = ["captions"]
                by = f" by {reader.source.name}" if reader.source is not None and lacking[0] in OF_EXTRACTOR else ""
                raise ValueError(
                    f"metric: {type(reader.metric).__name__} reads '{lacking[0]}', and of {self.name} pictures{by} "
                    f"there are {', '.join(sorted(known))}; choose another metric{' or extractor' if by else ''}"
                )

    def require_joining(self) -> None:
        """Refuse metrics that cannot be taken in on several ranks.

        Raises:
            ValueError: naming one.
        """
        for reader in self._by_batch:
            if not reader.metric.joins:
                raise ValueError(
                    f"metric: {type(reader.metric).__name__} has no states that ranks can join; add them with add_sum, "
                    "or with add_state and dist_reduce_fx, or measure with devices=1"
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
        told: dict[str, dict[str, Tensor]] = {}
        if "images" in given:
            count = len(given["images"])
            given["numbers"] = list(range(first, first + count))
            reading["count"] = torch.tensor(count)
            for source in self._sources:
                whole = {name for each in self._by_batch if each.source is source for name in each.names}
                told[source.key] = source.tell(given, whole)
                for kind in BY_BLOCK:
                    if kind in told[source.key]:
                        reading[f"{source.key}{kind}"] = told[source.key][kind].detach().cpu()
        for place, reader in enumerate(self._by_batch):
            known = given if reader.source is None else {**given, **told.get(reader.source.key, {})}
            for name, state in _left(reader, {name: known[name] for name in reader.names if name in known}).items():
                reading[f"{place}.{name}"] = state
        return reading

    def add(self, reading: Reading) -> None:
        """Hand on what was read of the next batch.

        Raises:
            ValueError: features that are not finite.
        """
        self.count += int(reading.get("count", 0))
        for name, blocks in self._blocks.items():
            if name in reading:
                blocks.update(reading[name])
        for place, reader in enumerate(self._by_batch):
            if reader.metric.joins:
                own = {name: state for name, state in reading.items() if name.startswith(f"{place}.")}
                reader.metric.join({name.partition(".")[2]: state for name, state in own.items()})

    def update(self, **given: Any) -> None:
        """Hand on a batch of B pictures, see `read` and `add`."""
        self.add(self.read(self.count, **given))

    def close(self) -> None:
        """Hand on what waits for a whole block.

        Raises:
            ValueError: no picture came.
        """
        if self._readers and not self.count:
            raise ValueError(f"no {self.name} image was given; the set is empty")
        for blocks in self._blocks.values():
            blocks.close()


def _source(extractor: FeatureExtractor | None, sources: dict[tuple[str, str], FeatureSource]) -> FeatureSource | None:
    """The source of a network, one for each network."""
    if extractor is None:
        return None
    network = extractor.name, str(extractor.weights_sha256)
    return sources.setdefault(network, FeatureSource(extractor, f"{len(sources)}/"))


def _blocks(name: str, source: FeatureSource, kind: str, readers: Iterable[Reader]) -> FeatureBlocks:
    """What hands the features of a network on to those readers that are given blocks of them."""
    own = [each for each in readers if each.by_block and each.source is source and each.kind == kind]
    wants_logits = any("logits" in each.names for each in own)

    def pass_on(block: Tensor, first: int) -> None:
        given: dict[str, Any] = {kind: block, "numbers": list(range(first, first + len(block)))}
        if wants_logits:
            given["logits"] = source.logits(block)
        for reader in own:
            reader.update(**{name: given[name] for name in reader.names})

    return FeatureBlocks(name, pass_on)


def _left(reader: Reader, given: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a batch leaves in a metric's states, by itself."""
    if reader.metric.joins:
        return reader.metric.alone(lambda: reader.update(**given))
    reader.update(**given)
    return {}
