"""The config of `ldmlab runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ldmlab.configs.checks import Checks, Rule
from ldmlab.configs.keys import VERBATIM, Keys, PathText

if TYPE_CHECKING:
    from omegaconf import DictConfig


class RunsKeys(Keys):
    """`ldmlab runs`."""

    folder: PathText
    sort: str | None
    figures: Annotated[list[str], Field(min_length=1)] | None
    baseline: Annotated[str, VERBATIM] | None
    compare: Annotated[list[str | int], Field(min_length=2, max_length=2)] | None
    csv: PathText | None


def is_pair(config: DictConfig) -> bool:
    """Whether two runs are compared, which no table is printed beside."""
    return config.compare is not None


CHECKS = Checks(
    keys=RunsKeys,
    rules=(Rule(("baseline", "sort"), is_pair, "compare= prints two runs alone"),),
    reads={"folder": "no such folder; give one that runs have written to"},
)
