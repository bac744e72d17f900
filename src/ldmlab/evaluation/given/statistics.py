"""Means and covariances of features that somebody has computed, as references are published. Shapes: F features.

ADM's files hold `mu` and `sigma` of the 2015 Inception's pooled features, and `mu_s` and `sigma_s` of spatial ones;
those of pytorch-fid and torch-fidelity hold the former.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.evaluation.given.npz_file import NpzFile
from ldmlab.evaluation.given.picture_set import GivenPictures
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.extractors.inception import Inception2015
from ldmlab.files import sha256_of
from ldmlab.metrics.base import Metric, parameters

ARRAYS = {"features": ("mu", "sigma", 2048), "spatial": ("mu_s", "sigma_s", 2023)}
"""Mean, covariance and F of what metrics read of the 2015 Inception."""


class Gaussian(NamedTuple):
    """A mean and a covariance, float64."""

    mean: Float[Tensor, " F"]
    covariance: Float[Tensor, "F F"]


@runtime_checkable
class ComparesGaussians(Protocol):
    """A metric for which a mean and a covariance are reference enough."""

    def set_reference(
        self, mean: Float[Tensor, " F"], covariance: Float[Tensor, "F F"], count: int | None = None
    ) -> None:
        """Take them for those of the reference, of `count` pictures; None where nobody knows how many."""


@dataclass(frozen=True)
class GivenStatistics:
    """A reference whose statistics are known, and pictures of it, or none; see `PictureSet`.

    Attributes:
        name: how the user named the file.
        gaussians: by what metrics read: "features", "spatial".
        fingerprint: SHA-256 of the file.
        given: the pictures in the file.
    """

    name: str
    gaussians: dict[str, Gaussian]
    fingerprint: str
    given: GivenPictures | None = None

    @property
    def kind(self) -> str:
        """What there is: "statistics" alone, or pictures in an "npz" too."""
        return "statistics" if self.given is None else self.given.kind

    @property
    def n(self) -> int:
        """How many pictures there are, 0 where there are none; the statistics may be of others."""
        return 0 if self.given is None else self.given.n

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the pictures, where there are any."""
        return None if self.given is None else self.given.size

    @property
    def chosen(self) -> str:
        """Which pictures the N are."""
        return "statistics alone" if self.given is None else self.given.chosen

    def about(self) -> dict[str, Any] | None:
        """What decides the pictures."""
        return None if self.given is None else self.given.about()

    def parts(self) -> list[range]:
        """The numbers of the pictures of each batch."""
        return [] if self.given is None else self.given.parts()

    def pictures(self, part: range) -> dict[str, Any]:
        """A batch of the pictures."""
        assert self.given is not None, "there are no parts to ask for"
        return self.given.pictures(part)

    def take(self, metric: Metric, extractor: FeatureExtractor) -> bool:
        """Give a metric its reference, if statistics of this file are what it compares with; return whether they are.

        Args:
            metric: that compares.
            extractor: the network that it reads.

        Raises:
            ValueError: it cannot, and there are no pictures in their place.
        """
        read = parameters(metric.update_reference)
        gaussian = next((self.gaussians[kind] for kind in self.gaussians if kind in read), None)
        if isinstance(metric, ComparesGaussians) and gaussian and extractor.name == Inception2015.name:
            metric.set_reference(gaussian.mean, gaussian.covariance)
            return True
        if self.given is None:
            raise ValueError(f"{self.name}: holds {', '.join(self._names)} alone, {self._reason(metric, extractor)}")
        return False

    @property
    def _names(self) -> list[str]:
        return [name for kind in self.gaussians for name in ARRAYS[kind][:2]]

    def _reason(self, metric: Metric, extractor: FeatureExtractor) -> str:
        """Why a metric cannot do with them."""
        if isinstance(metric, ComparesGaussians) and extractor.name != Inception2015.name:
            return (
                f"which are of the 2015 Inception's features, not of {extractor.name}'s; give extractor=inception "
                "extractor.weights=PATH, or a reference with pictures"
            )
        read = parameters(metric.update_reference)
        lacking = next((" and ".join(ARRAYS[kind][:2]) for kind in ARRAYS if kind in read), "pictures")
        wants = lacking if isinstance(metric, ComparesGaussians) else "pictures"
        return f"and {type(metric).__name__} compares with {wants}; leave it out, or give a reference with pictures"


def has_statistics(file: NpzFile) -> bool:
    """Whether a file holds any."""
    return ARRAYS["features"][0] in file.names


def read_statistics(file: NpzFile, given: GivenPictures | None = None) -> GivenStatistics:
    """The statistics in a file, beside the pictures in it.

    Raises:
        ValueError: they are not of the 2015 Inception's features, or not finite.
    """
    gaussians = {}
    for kind, (mean, covariance, width) in ARRAYS.items():
        if mean in file.names or covariance in file.names:
            gaussians[kind] = Gaussian(_read(file, mean, (width,)), _read(file, covariance, (width, width)))
    return GivenStatistics(file.where, gaussians, given.fingerprint if given else sha256_of(file.path), given)


def _read(file: NpzFile, name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in file.names:
        raise ValueError(f"{file.where}: holds {', '.join(file.names)}, and no {name}; get it anew")
    array = file.array(name)
    if array.dtype.kind != "f" or array.shape != shape:
        raise ValueError(
            f"{file.where}: {name} is {array.dtype} {array.shape}; of the 2015 Inception it is float64 {shape}"
        )
    values = array.all(most_bytes=16 * shape[0] ** 2).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{file.where}: {name} holds NaN or infinite numbers; get the file anew")
    return torch.from_numpy(values)
