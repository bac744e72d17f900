"""The config of `ldmlab benchmark`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ldmlab.configs.checks import NO_ADAPTER, Checks, Rule
from ldmlab.configs.keys import Count, ModelKeys, PathText, PerWord


class BenchmarkKeys(ModelKeys):
    """`ldmlab benchmark`, with the method's own keys as for `ldmlab edit`."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["swap", "insert", "delete", "reweight"]
    weight: Annotated[float, Field(allow_inf_nan=False, strict=True)]
    n: Count
    figure: PathText
    word_tau: PerWord = None
    reweight: PerWord = None


CHECKS = Checks(
    keys=BenchmarkKeys,
    rules=(
        NO_ADAPTER,
        Rule(("inversion",), lambda config: True, "the benchmark draws the pictures that it edits"),
    ),
)
