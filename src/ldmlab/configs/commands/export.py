"""The config of `ldmlab export`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, Checks
from ldmlab.configs.keys import Keys, PathText


class ExportKeys(Keys):
    """`ldmlab export`."""

    ckpt: PathText
    output: PathText
    format: Literal["diffusers"]
    ema: bool
    adapter_ckpt: PathText | None
    adapter_scale: Annotated[float, Field(allow_inf_nan=False)]
    half: bool


CHECKS = Checks(keys=ExportKeys, rules=(NO_ADAPTER,))
