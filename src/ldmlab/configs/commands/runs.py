"""The config of `ldmlab runs`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ldmlab.configs.checks import Checks
from ldmlab.configs.keys import Keys, PathText


class RunsKeys(Keys):
    """`ldmlab runs`."""

    folder: PathText
    sort: str | None
    figures: Annotated[list[str], Field(min_length=1)] | None
    csv: PathText | None


CHECKS = Checks(keys=RunsKeys, reads={"folder": "no such folder; give one that runs have written to"})
