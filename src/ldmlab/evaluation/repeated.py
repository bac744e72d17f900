"""A model that is measured again and again while it changes, on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.image import ImageConditioner
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.evaluate import Model, measure, require_metrics
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.measurement import Measurement
from ldmlab.evaluation.reconstructions import given_of
from ldmlab.evaluation.remembered import Remembered
from ldmlab.evaluation.requests import Requests
from ldmlab.evaluation.shares import SINGLE, Shares, pass_on
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.guidance.base import Guidance
from ldmlab.metrics.base import Announced, Metric, begin_all
from ldmlab.metrics.feed import Feed
from ldmlab.metrics.measured import Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.ranks import ALONE, Ranks
from ldmlab.samplers.base import Sampler


@dataclass(frozen=True)
class RepeatedEvaluation:
    """What is measured, and by what. The model's weights stay as they are, unlike those of `evaluate`.

    Held-out pictures pass each network once in the life of this object. Between two measurements networks are on the
    CPU, and metrics are empty.

    Attributes:
        heldout: the samples.
        metrics: by name.
        extractor: the network of metrics that have none of their own.
        sampler: of a diffusion model.
        guidance: of a diffusion model.
        requests: what it is asked for, where it is not what was known of the held-out samples.
        remembered: what came of held-out pictures.
    """

    heldout: HeldOut
    metrics: Mapping[str, Metric]
    extractor: FeatureExtractor
    sampler: Sampler
    guidance: Guidance
    requests: Requests | None = None
    remembered: Remembered = field(default_factory=Remembered)

    @property
    def asked(self) -> Requests:
        """What a diffusion model is asked for."""
        return self.requests or self.heldout

    def require(self, model: Model, world: int = 1) -> None:
        """Refuse what could not be measured, before anything is.

        Args:
            model: that will be measured.
            world: on how many ranks.

        Raises:
            ValueError: there is no metric, or one that reads what there is not, is of fewer pictures than it needs, or
                cannot be joined over ranks.
        """
        planned = self._planned(model, Precision("fp32", torch.device("cpu")))
        require_metrics(model, planned)
        of_pictures = planned.of_pictures.metrics
        for feed in self._feeds(model, of_pictures):
            if world > 1:
                feed.require_joining()
        begin_all(of_pictures.values(), Announced(self.asked.n, self.asked.seed), self.extractor)

    def measure(
        self, model: Model, precision: Precision, ranks: Ranks = ALONE, between: Callable[[], None] = pass_on
    ) -> Measured:
        """Measure the model as it is now.

        Args:
            model: on the device of `precision`, in evaluation mode.
            precision: what it computes in, by autocast; what measures computes in fp32.
            ranks: which share the work; each of them calls this, and is given the same figures.
            between: called before each batch; what it raises ends the measurement.

        Raises:
            ValueError: see `require`; or what it makes cannot be measured.
        """
        with self._ready(precision.device):
            return measure(model, self._planned(model, precision, Shares(ranks, self.remembered, between)))

    def _planned(self, model: Model, precision: Precision, shares: Shares = SINGLE) -> Measurement:
        draws = isinstance(model, LatentDiffusion)
        drawing = Drawing(self.sampler, self.guidance, (), precision=precision) if draws else None
        return Measurement(
            self.metrics, self.extractor, precision, self.heldout, self.requests, drawing=drawing, shares=shares
        )

    def _feeds(self, model: Model, metrics: Mapping[str, Metric]) -> list[Feed]:
        """What will be fed, after what it will be given was held against what it reads."""
        real = Feed("real", [metric.update_reference for metric in metrics.values()], self.extractor)
        made = Feed("generated", [metric.update for metric in metrics.values()], self.extractor)
        beside = {"images", *self.heldout.names}
        real.require(beside)
        if isinstance(model, Autoencoder):
            made.require({"truth", *given_of(model), *beside})
        elif isinstance(model.conditioner, ImageConditioner):
            made.require({"truth", *beside})
        else:
            made.require({"images", *self.asked.names})
        return [real, made]

    @contextmanager
    def _ready(self, device: torch.device) -> Iterator[None]:
        """Networks are on a device and metrics are empty inside the block; afterwards none holds memory of it."""
        self._move(device)
        try:
            self._reset()
            yield
        finally:
            self._reset()
            self._move(torch.device("cpu"))
            if device.type == "cuda":
                torch.cuda.empty_cache()

    def _move(self, device: torch.device) -> None:
        self.extractor.to(device)
        for metric in self.metrics.values():
            metric.move_networks(device)

    def _reset(self) -> None:
        for metric in self.metrics.values():
            metric.reset()
