"""No condition."""

from __future__ import annotations

from ldmlab.conditioners.none import NoCondition
from ldmlab.types import Conditioning


def test_nothing_whatever_is_asked() -> None:
    conditioner = NoCondition()
    nothing = Conditioning()
    assert conditioner({"captions": ["a star"], "labels": [3]}) == conditioner({}) == conditioner.null(4) == nothing
    assert conditioner.drop(nothing, 0.5, 4) == nothing
    assert (conditioner.context_width, conditioner.vector_width) == (None, None)
    assert conditioner.batch(["a title"]) == {"captions": ["a title"]}
    assert not list(conditioner.parameters())
