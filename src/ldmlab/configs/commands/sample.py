"""The config of `ldmlab sample`."""

from __future__ import annotations

from typing import Annotated

from ldmlab.configs.checks import NO_ADAPTER, Checks
from ldmlab.configs.keys import VERBATIM, Count, ManyKeys, PathText


class SampleKeys(ManyKeys):
    """`ldmlab sample`."""

    prompts: PathText | list[str] | None
    negative_prompt: Annotated[str, VERBATIM] | None
    n: Count | None


CHECKS = Checks(
    keys=SampleKeys,
    rules=(NO_ADAPTER,),
    reads={"prompts": "no such file; give a text file with a prompt a line, or words without '='"},
)
