"""No condition at all: an unconditional model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmlab.conditioners.base import Conditioner
from ldmlab.types import Conditioning


class NoCondition(Conditioner):
    """Gives nothing and reads nothing. Guidance needs a condition: sample such a model with guidance=none."""

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Nothing."""
        return Conditioning()

    def null(self, n: int) -> Conditioning:
        """Nothing."""
        return Conditioning()
