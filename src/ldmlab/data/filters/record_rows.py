"""One sample whose json has been read, for an expression."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ldmlab.data.filters.fields import ASPECT, CAPTION, HEIGHT, WIDTH, sources_of
from ldmlab.data.filters.rows import Bits, Numbers, Texts


class RecordRows:
    """A single sample.

    Args:
        meta: its json.
        caption: "" for none.
        size: of its picture, (W, H) in pixels; None where it is not known.
    """

    def __init__(self, meta: Mapping[str, Any], caption: str = "", size: tuple[int, int] | None = None) -> None:
        picture = {} if size is None else {WIDTH: size[0], HEIGHT: size[1], ASPECT: size[0] / size[1]}
        self.values = {**picture, **meta, CAPTION: caption or None}

    def __len__(self) -> int:
        return 1

    @property
    def names(self) -> set[str]:
        """The fields that it has."""
        return {*self.values}

    def numbers(self, name: str) -> Numbers:
        """A field's number (1,), NaN for none; true counts as 1, false as 0."""
        found = [as_number(self.values[each]) for each in sources_of(name, self.values)]
        return np.array([next((value for value in found if value == value), math.nan)])

    def texts(self, name: str) -> Texts:
        """A field's text, None for none."""
        found = (self.values[each] for each in sources_of(name, self.values))
        return [next((value for value in found if isinstance(value, str)), None)]

    def missing(self, name: str) -> Bits:
        """Whether a field is not there, or null, or NaN (1,)."""
        found = (self.values[each] for each in sources_of(name, self.values))
        return np.array([all(value is None or value != value for value in found)])


def as_number(value: Any) -> float:
    """A value of a json as a number; NaN where it is none."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf
