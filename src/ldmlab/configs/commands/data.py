"""The config of `ldmlab data`."""

from __future__ import annotations

from ldmlab.configs.checks import Checks
from ldmlab.configs.keys import Count, Keys, PathText


class ShardFolder(Keys):
    """Where the shards go."""

    path: PathText


class DataKeys(Keys):
    """`ldmlab data`."""

    data: ShardFolder
    shard_size: Count
    workers: Count


CHECKS = Checks(keys=DataKeys, writes=("data.path",))
