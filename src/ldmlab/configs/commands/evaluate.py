"""The config of `ldmlab evaluate`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, NO_SHARDS, Checks, Rule
from ldmlab.configs.filters import require_filter
from ldmlab.configs.keys import Count, Keys, ManyKeys, PathText


class ReferenceKeys(Keys):
    """Where the held-out samples are."""

    path: PathText | None
    heldout_path: PathText | None


class EvaluateKeys(ManyKeys):
    """`ldmlab evaluate`."""

    data: ReferenceKeys
    n: Annotated[int, Field(ge=2)]
    pictures_per_caption: Count
    figure: str | None


CHECKS = Checks(
    keys=EvaluateKeys,
    rules=(
        NO_ADAPTER,
        Rule(
            ("sampler", "guidance", "extractor", "pictures_per_caption"),
            lambda config: set(config.get("metric") or ()) == {"vlb"},
            "metric=vlb draws no pictures",
        ),
    ),
    reads={
        "data.path": NO_SHARDS,
        "data.heldout_path": "no such folder; give one of tars, or null for data.path/heldout",
    },
    check=require_filter,
)
