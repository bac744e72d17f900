"""Class labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ldmlab.conditioners.class_label import ClassLabel


@pytest.mark.parametrize("labels", [[2, 0, 2], torch.tensor([2, 0, 2])])
def test_looks_up_rows(labels: Any) -> None:
    conditioner = ClassLabel(3, 8)
    cond = conditioner({"labels": labels})
    assert torch.equal(cond.vector, conditioner.table.weight[[2, 0, 2]])
    assert cond.context is None
    assert (conditioner.context_width, conditioner.vector_width) == (None, 8)


def test_as_a_context_of_one_token() -> None:
    conditioner = ClassLabel(3, 8, as_context=True)
    cond = conditioner({"labels": [2, 0]})
    assert torch.equal(cond.context, conditioner.table.weight[[2, 0]][:, None])
    assert (cond.vector, cond.context_mask) == (None, None)
    assert torch.equal(conditioner.null(2).context, conditioner.table.weight[[3, 3]][:, None])
    assert (conditioner.context_width, conditioner.vector_width) == (8, None)


def test_the_null_class_is_the_row_after_the_last_class() -> None:
    conditioner = ClassLabel(10, 4)
    assert conditioner.table.weight.shape == (11, 4)
    assert torch.equal(conditioner.null(2).vector, conditioner.table.weight[[10, 10]])


def test_initial_spread() -> None:
    torch.manual_seed(0)
    assert float(ClassLabel(1000, 64).table.weight.detach().std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range(label: int) -> None:
    with pytest.raises(ValueError, match=rf"outside \[0, 3\): \[0, {label}\]; set conditioner.classes"):
        ClassLabel(3, 4)({"labels": [0, label]})
    with pytest.raises(ValueError, match=rf"outside \[0, 3\): \[0, {label}\]"):
        ClassLabel(3, 4).as_tensors({"labels": [0, label]})


def test_prompts_are_class_numbers() -> None:
    conditioner = ClassLabel(12, 4)
    assert conditioner.batch(["3", "11"]) == {"labels": [3, 11]}
    for bad in ("a red star", "-1", "1.5", "²", ""):
        with pytest.raises(ValueError, match=r"this model reads class numbers"):
            conditioner.batch(["3", bad])


def test_no_classes() -> None:
    with pytest.raises(ValueError, match=r"conditioner.classes=0"):
        ClassLabel(0, 4)


def test_a_table_without_no_class_has_nothing_to_lead_away_from() -> None:
    conditioner = ClassLabel(classes=3, width=4, null_class=False)
    assert len(conditioner.table.weight) == 3
    assert conditioner({"labels": [2]}).vector is not None
    with pytest.raises(ValueError, match=r"guidance: the model's table has no row for 'no class'.* use guidance=none"):
        conditioner.null(1)
