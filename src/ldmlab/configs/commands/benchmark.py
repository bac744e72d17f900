"""The config of `ldmlab benchmark`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, Checks, Rule
from ldmlab.configs.keys import Count, ManyKeys, PathText


class BenchmarkKeys(ManyKeys):
    """`ldmlab benchmark`."""

    kind: Literal["swap", "insert", "delete", "reweight"]
    weight: Annotated[float, Field(allow_inf_nan=False, strict=True)]
    n: Count
    figure: PathText


CHECKS = Checks(
    keys=BenchmarkKeys,
    untyped=("method.word_tau", "method.reweight"),
    rules=(
        NO_ADAPTER,
        Rule(("inversion",), lambda config: True, "the benchmark draws the pictures that it edits"),
    ),
)
