"""The config of `ldmlab attention`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, Checks
from ldmlab.configs.keys import Count, ModelKeys, Prompt


class AttentionKeys(ModelKeys):
    """`ldmlab attention`."""

    prompt: Prompt
    words: Annotated[list[str], Field(min_length=1)] | None
    by: Literal["step", "site"] | None
    step_bins: Count
    sites: Annotated[list[str], Field(min_length=1)] | None
    scale: Literal["word", "common"]
    save_maps: bool
    half_maps: bool
    n: Count


CHECKS = Checks(keys=AttentionKeys, rules=(NO_ADAPTER,))
