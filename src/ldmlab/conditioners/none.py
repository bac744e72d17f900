"""No condition at all: an unconditional model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmlab.conditioners.base import Conditioner
from ldmlab.types import Conditioning


class NoCondition(Conditioner):
    """An unconditional model: reads no key of a batch and gives no field.

    Guidance needs a condition, so such a model is sampled with guidance=none.
    """

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """A `Conditioning` without a field, whatever the batch holds."""
        return Conditioning()

    def null(self, n: int) -> Conditioning:
        """A `Conditioning` without a field, for any n."""
        return Conditioning()
