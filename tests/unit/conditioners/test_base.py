"""Condition dropout, in its one place."""

from __future__ import annotations

import pytest
import torch

from ldmlab.conditioners.base import require_key
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.text import TextTransformer
from ldmlab.types import Conditioning


def test_all_fields_of_a_sample_are_dropped_together(text: TextTransformer, captions: list[str]) -> None:
    torch.manual_seed(0)
    batch = captions[:3] * 8
    cond, null = text({"captions": batch}), text.null(24)
    dropped = text.drop(cond, 0.5, 24)
    sides = []
    for row in range(24):
        same = [torch.equal(getattr(dropped, f)[row], getattr(cond, f)[row]) for f in ("context", "vector")]
        gone = [torch.equal(getattr(dropped, f)[row], getattr(null, f)[row]) for f in ("context", "vector")]
        side = cond if all(same) else null
        assert all(same) != all(gone)
        assert torch.equal(dropped.context_mask[row], side.context_mask[row])
        sides.append(all(same))
    assert 4 < sum(sides) < 20


def test_as_often_as_asked() -> None:
    torch.manual_seed(0)
    conditioner = ClassLabel(3, 4)
    cond = conditioner({"labels": [0] * 4000})
    kept = (conditioner.drop(cond, 0.1, 4000).vector == cond.vector).all(dim=1)
    assert 0.88 < float(kept.float().mean()) < 0.92


def test_never_and_always(text: TextTransformer, captions: list[str]) -> None:
    cond = text({"captions": captions})
    assert text.drop(cond, 0.0, len(captions)) is cond
    always = text.drop(cond, 1.0, len(captions))
    assert torch.equal(always.context, text.null(len(captions)).context)


def test_the_dropped_condition_is_trained() -> None:
    conditioner = ClassLabel(2, 4)
    conditioner.drop(conditioner({"labels": [0, 1]}), 1.0, 2).vector.sum().backward()
    assert conditioner.table.weight.grad.abs().sum(dim=1).tolist() == [0.0, 0.0, 8.0]


def test_what_the_batch_lacks_is_named() -> None:
    assert require_key({"labels": 3}, "labels", "class_label") == 3
    with pytest.raises(ValueError, match="conditioner 'text' reads 'captions', which the data lacks"):
        require_key({"images": 0}, "captions", "text")


def test_every_row_of_a_null_is_the_same(text: TextTransformer) -> None:
    null: Conditioning = text.null(3)
    assert null.context.shape[0] == null.context_mask.shape[0] == null.vector.shape[0] == 3
    assert torch.equal(null.context[0], null.context[2])
