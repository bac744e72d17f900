"""Which methods differ from the best by no more than noise, on the same edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.confidence import LEVEL, corrected, difference
from ldmlab.metrics.editing.base import mean_of
from ldmlab.metrics.standard_errors import mean_error, moments

EXPLAINED = (
    f"~: differs from the best of ours by no more than noise (two-sided z-test on the differences of single edits at "
    f"{LEVEL:g}, Holm's correction over the methods)"
)


def alike(
    names: Sequence[str], values: Mapping[str, Float[Tensor, "N K"]], higher_is_better: Mapping[str, bool]
) -> set[tuple[str, str]]:
    """The pairs of method and figure that cannot be told from the best method's.

    Edits are the same for all methods, so that it is their differences, edit by edit, that are held against zero: these
    vary less than the figures themselves.

    Args:
        names: of the K figures.
        values: of each method the figures of N edits.
        higher_is_better: by figure, where that is so.
    """
    found = set()
    for place, name in enumerate(names):
        columns = {method: own[:, place] for method, own in values.items()}
        found |= {(method, name) for method in _like_best(columns, higher_is_better.get(name, False))}
    return found


def _like_best(columns: Mapping[str, Float[Tensor, " N"]], higher_is_better: bool) -> list[str]:
    """The methods that differ from the best by noise, the best itself left out."""
    means = {method: mean_of(column)[0] for method, column in columns.items()}
    known = {method: mean if higher_is_better else -mean for method, mean in means.items() if mean is not None}
    if len(known) < 2:
        return []
    best = max(known, key=lambda method: known[method])
    others = [method for method in known if method != best]
    p_values = [_p_value(_less(columns[method], columns[best])) for method in others]
    return [method for method, p in zip(others, corrected(p_values), strict=True) if p > LEVEL]


def _less(one: Float[Tensor, " N"], other: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """One less the other: 0 where both are infinite."""
    return torch.where(one == other, 0.0, one - other)


def _p_value(differences: Float[Tensor, " N"]) -> float:
    """Of the test that single differences have mean 0; those of edits that either lacks do not count."""
    there = differences[torch.isfinite(differences)]
    if len(there) < 2:
        return 0.0
    return difference(float(there.mean()), mean_error(moments(there)), 0.0, 0.0).p_value
