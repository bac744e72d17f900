"""The config of `ldmlab jobs`."""

from __future__ import annotations

from ldmlab.configs.checks import Checks
from ldmlab.configs.keys import Keys, PathText


class JobsKeys(Keys):
    """`ldmlab jobs`."""

    folder: PathText
    all: bool


CHECKS = Checks(keys=JobsKeys, reads={"folder": "no such folder; give one that jobs write to"})
