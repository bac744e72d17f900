"""The config of `ldmlab audit`."""

from __future__ import annotations

from typing import Literal

from ldmlab.configs.checks import NO_SHARDS, Checks
from ldmlab.configs.filters import require_filter
from ldmlab.configs.keys import Count, Keys, PathText


class AuditedKeys(Keys):
    """Which shards are looked at."""

    path: PathText
    on_bad_shard: Literal["skip", "stop"]


class AuditKeys(Keys):
    """`ldmlab audit`."""

    data: AuditedKeys
    workers: Count
    checksums: bool
    decode: bool
    report: PathText | None


CHECKS = Checks(keys=AuditKeys, reads={"data.path": NO_SHARDS}, check=require_filter)
