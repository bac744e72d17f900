"""The config of `ldmlab dashboard`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import Checks
from ldmlab.configs.keys import Keys, PathText

Text = Annotated[str, Field(min_length=1)]


class DashboardKeys(Keys):
    """`ldmlab dashboard`."""

    folder: PathText
    figure: Text
    figure_mode: Literal["min", "max"]
    name: Text | None
    entity: Text | None
    project: Text | None
    upload: Literal["auto", True, False]
    output: PathText | None


CHECKS = Checks(keys=DashboardKeys, reads={"folder": "no such folder; give that of a sweep or of a run"})
