"""Conditioners that read captions with weights that nobody trains: what they give can be computed once and kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ldmlab.conditioners.base import Conditioner, expand_rows
from ldmlab.types import Conditioning

_NULL = "kept_null_"


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

    @abstractmethod
    def encode_null(self) -> Conditioning:
        """Condition on the empty prompt, once."""

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

    def null(self, n: int) -> Conditioning:
        """n times the empty prompt, which is encoded once, or not at all where it is kept."""
        one = self._kept_null()
        return (self.encode_null() if one is None else one).map(lambda field: expand_rows(field, n))

    @torch.no_grad()
    def keep_null(self) -> None:
        """Encode the empty prompt once and for all. It goes where the weights go, and is stored with none of them."""
        cond = self.encode_null()
        for name in self.shapes:
            self.register_buffer(f"{_NULL}{name}", getattr(cond, name).clone(), persistent=False)

    def _kept_null(self) -> Conditioning | None:
        kept: dict[str, Any] = {name: getattr(self, f"{_NULL}{name}", None) for name in self.shapes}
        return None if any(field is None for field in kept.values()) else Conditioning(**kept)

    def features(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """The fields of B captions, each (B, ...), by name."""
        cond = self.encode({"captions": list(captions)})
        return {name: getattr(cond, name) for name in self.shapes}

    def _has_features(self, batch: Mapping[str, Any]) -> bool:
        return self.shapes.keys() <= batch.keys()
