"""What a model is measured by, on what, and beside what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.reference_cache import ReferenceCache
from ldmlab.evaluation.requests import Requests
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric, parameters
from ldmlab.precision import Precision

OF_LATENTS = frozenset({"denoiser", "latents", "cond", "noise"})
"""What metrics that need no pictures read."""


@dataclass(frozen=True)
class Measurement:
    """A measurement of a model, before it is made.

    Attributes:
        metrics: by name; see `Metric` for what they may read.
        extractor: the network of metrics that have none of their own, on the device of `precision` as theirs are.
        precision: what the model computes in; what measures computes in fp32.
        heldout: the samples that it is measured on; None where neither requests nor metrics are of any.
        requests: what a model is asked for, where it is not what was known of the held-out samples.
        reference: what samples are compared with, where it is not the held-out pictures.
        drawing: how pictures are drawn, of whatever seeds; None where none are.
        pictures_per_caption: above 1, the first conditions are drawn so often each.
        cache: what earlier measurements have taken of references; None to look at all of them.
        shares: among which ranks the work is shared; each of them makes it, and is given the same figures.
    """

    metrics: Mapping[str, Metric]
    extractor: FeatureExtractor
    precision: Precision
    heldout: HeldOut | None = None
    requests: Requests | None = None
    reference: PictureSet | None = None
    drawing: Drawing | None = None
    pictures_per_caption: int = 1
    cache: ReferenceCache | None = None
    shares: Shares = SINGLE

    @property
    def samples(self) -> HeldOut:
        """The held-out samples. ValueError where there are none."""
        if self.heldout is None:
            raise ValueError("heldout: there are no held-out samples, and what is measured is of some; give them")
        return self.heldout

    @property
    def asked(self) -> Requests:
        """What a model is asked for. ValueError where nobody says."""
        return self.requests or self.samples

    @property
    def compared(self) -> PictureSet | None:
        """The pictures that samples are compared with, if there are any."""
        return self.reference or self.heldout

    @property
    def drawn(self) -> Drawing:
        """How the pictures that are asked for are drawn. ValueError where nobody says."""
        if self.drawing is None:
            raise ValueError(f"metric={min(self.metrics)}: reads pictures; say how they are drawn")
        return self.drawing.of(self.asked.seeds())

    @property
    def of_latents(self) -> Measurement:
        """The part of it that needs no pictures."""
        return replace(self, metrics={name: each for name, each in self.metrics.items() if reads_latents(each)})

    @property
    def of_pictures(self) -> Measurement:
        """The part of it that needs pictures."""
        return replace(self, metrics={name: each for name, each in self.metrics.items() if not reads_latents(each)})


def reads_latents(metric: Metric) -> bool:
    """Whether a metric reads latents, so that its figures need no pictures."""
    return bool(OF_LATENTS & parameters(metric.update).keys())
