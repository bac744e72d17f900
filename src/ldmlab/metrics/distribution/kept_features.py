"""Metrics that compare single images rather than statistics, so that their memory grows with the number of images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric


class KeptFeatures(Metric):
    """Keeps the features of all images of both sides in float32, 4 F bytes an image. Shapes: N images, F features.

    Args:
        extractor: the network whose features are compared; None for that of all metrics.
    """

    real: list[Tensor]
    real_numbers: list[Tensor]
    fake: list[Tensor]
    fake_numbers: list[Tensor]

    def __init__(self, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(extractor)
        for name in ("real", "fake"):
            self.add_state(name, [], dist_reduce_fx="cat")
            self.add_state(f"{name}_numbers", [], dist_reduce_fx="cat")

    def update_reference(self, features: Float[Tensor, "B F"], numbers: Sequence[int]) -> None:
        """Take in features of held-out pictures of these numbers."""
        self.real.append(features.detach().to("cpu", torch.float32))
        self.real_numbers.append(torch.tensor(numbers))

    def update(self, features: Float[Tensor, "B F"], numbers: Sequence[int]) -> None:
        """Take in features of the model's pictures of these numbers."""
        self.fake.append(features.detach().to("cpu", torch.float32))
        self.fake_numbers.append(torch.tensor(numbers))

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The figures by name, see `Metric.compute`."""

    def features_of(self, side: Literal["real", "fake"]) -> Float[Tensor, "N F"]:
        """The features of one side, in the order of the images.

        Raises:
            ValueError: no image came.
        """
        blocks, numbers = getattr(self, side), getattr(self, f"{side}_numbers")
        if not blocks:
            raise ValueError(f"no {side} image was given; the set is empty")
        if len(blocks) > 1:  # one block from now on, so that nothing is kept twice
            place, features = torch.cat(numbers), torch.cat(blocks)
            if bool((place.diff() < 0).any()):
                features, place = features[place.argsort()], place.sort().values
            setattr(self, side, [features])
            setattr(self, f"{side}_numbers", [place])
        features = getattr(self, side)[0]
        return features

    def pair(self) -> tuple[Float[Tensor, "M F"], Float[Tensor, "N F"]]:
        """The features of the held-out pictures and of the model's.

        Raises:
            ValueError: a side without images, or features of two extractors.
        """
        real, fake = self.features_of("real"), self.features_of("fake")
        if real.shape[1] != fake.shape[1]:
            raise ValueError(f"real features are {real.shape[1]} wide, fake ones {fake.shape[1]}; use one extractor")
        return real, fake
