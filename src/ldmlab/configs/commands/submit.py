"""The config of `ldmlab submit`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ldmlab.configs.checks import Checks
from ldmlab.configs.keys import Count, Keys


class SubmitKeys(Keys):
    """`ldmlab submit`."""

    command: Annotated[list[str], Field(min_length=1)]
    array: bool
    at_once: Count


CHECKS = Checks(keys=SubmitKeys)
