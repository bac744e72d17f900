"""Figures of judged edits: shares and means over all, over those of each attribute, and beside a baseline's."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ldmlab.metrics.scenes.edit_verdict import Verdict
from ldmlab.metrics.standard_errors import mean_error, moments, share_error
from ldmlab.worlds.shapes.scene_edits import ATTRIBUTES, SceneEdit

SHARES, MEANS = ("reached", "unchanged"), ("outside",)
FIGURES = (*SHARES, *MEANS)
"""What is averaged of a verdict."""
BASELINE = "fixed_seed"
"""The same seed draws the new caption without any control."""
RATIO = f"outside/{BASELINE}"


@dataclass(frozen=True)
class JudgedEdit:
    """What became of a case under the method, and under the baseline. The pictures are not kept."""

    edit: SceneEdit
    seed: int
    verdict: Verdict
    baseline: Verdict


def means(judged: Sequence[JudgedEdit]) -> dict[str, float]:
    """Figures by name; see the module."""
    found = {name: float(values.mean()) for name, values in _values(judged)}
    outside, beside = found["outside"], found[f"{BASELINE}/outside"]
    return found | ({RATIO: outside / beside} if beside else {})


def standard_errors(judged: Sequence[JudgedEdit]) -> dict[str, float]:
    """The standard errors of the figures over edits; none of those that a single edit has."""
    values = dict(_values(judged))
    found = {name: _error(name, each) for name, each in values.items()}
    outside, beside = values["outside"], values[f"{BASELINE}/outside"]
    if beside.any():  # both of the same edits, so that the ratio is surer than either of them (the delta method)
        off = outside - outside.mean() / beside.mean() * beside
        found[RATIO] = mean_error(moments(off)) / float(beside.mean())
    return {name: error for name, error in found.items() if math.isfinite(error)}


def _error(name: str, values: Tensor) -> float:
    if any(share in name.split("/") for share in SHARES):
        return share_error(float(values.sum()), len(values))
    return mean_error(moments(values))


def _values(judged: Sequence[JudgedEdit]) -> Iterator[tuple[str, Tensor]]:
    """The values of each edit that a figure is the mean of."""
    for group, members in _by_attribute(judged).items():
        for prefix, side in (("", "verdict"), (f"{BASELINE}/", "baseline")):
            verdicts = [getattr(each, side) for each in members]
            for key in FIGURES:
                each = [float(getattr(verdict, key)) for verdict in verdicts]
                yield f"{prefix}{key}{group}", torch.tensor(each, dtype=torch.float64)


def _by_attribute(judged: Sequence[JudgedEdit]) -> Mapping[str, Sequence[JudgedEdit]]:
    """All under "", and those that change one attribute under "/ATTRIBUTE"."""
    groups: dict[str, list[JudgedEdit]] = defaultdict(list)
    for each in judged:
        groups[""].append(each)
        groups[f"/{each.edit.attribute}"].append(each)
    return groups


def require_figure(name: str, kind: str) -> None:
    """Refuse the name of a figure that no benchmark of a kind of edits has; see `EditBenchmark.figures`.

    Raises:
        ValueError: it is none.
    """
    groups = ["", *(f"/{attribute}" for attribute in ATTRIBUTES[kind])]
    named = [f"{prefix}{key}{group}" for group in groups for prefix in ("", f"{BASELINE}/") for key in FIGURES]
    if name not in (*named, RATIO, "judged", "drawn"):
        raise ValueError(
            f"figure={name}: kind={kind} has no such figure; choose one of {', '.join(FIGURES)}, which may have "
            f"{BASELINE}/ before it and {' or '.join(groups[1:])} after it"
        )
