"""Conditioners that read captions with weights that nobody trains: what they give can be computed once and kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ldmlab.conditioners.base import Conditioner
from ldmlab.types import Conditioning


class FrozenText(Conditioner):
    """Gives fields of a `Conditioning` that follow from each caption alone.

    A batch may hold them, as `features` gives them, in the place of its captions; then nothing is computed.

    Attributes:
        shapes: of a caption's fields, by their names in `Conditioning`.
        settings: all that decides what it gives beside its weights.
    """

    reads = frozenset({"captions"})
    shapes: Mapping[str, tuple[int, ...]]
    settings: Mapping[str, Any]

    @property
    def frozen(self) -> FrozenText:
        """Itself: all of it is frozen."""
        return self

    @abstractmethod
    def encode(self, batch: Mapping[str, Any]) -> Conditioning:
        """Condition on a batch with captions, or with what `tensors` makes of them."""

    @abstractmethod
    def tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """A batch with captions with what `encode` reads as tensors on the CPU."""

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Condition on a batch of B captions, or give the fields that it has of them already."""
        if not self._has_features(batch):
            return self.encode(batch)
        device = self.device()
        fields: dict[str, Any] = {name: batch[name].to(device, torch.float32) for name in self.shapes}
        return Conditioning(**fields)

    def as_tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch with what `forward` reads as tensors on the CPU; as it is where it has the fields already."""
        return batch if self._has_features(batch) else self.tensors(batch)

    def features(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """The fields of B captions, each (B, ...), by name."""
        cond = self.encode({"captions": list(captions)})
        return {name: getattr(cond, name) for name in self.shapes}

    def _has_features(self, batch: Mapping[str, Any]) -> bool:
        return self.shapes.keys() <= batch.keys()
