"""The config of `ldmlab describe`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import Checks
from ldmlab.configs.commands.train import OPTIONAL, TrainKeys
from ldmlab.configs.keys import Count


class DescribeKeys(TrainKeys):
    """`ldmlab describe`."""

    depth: Count
    dtype: Literal["float32", "bfloat16", "float16"]
    json_: Annotated[bool, Field(alias="json")]


CHECKS = Checks(keys=DescribeKeys, optional=OPTIONAL)
