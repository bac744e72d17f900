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
    urls: PathText | None = None


NO_LIST = "no such file; give a list of URLs, or a folder of such files"
CHECKS = Checks(
    keys=DataKeys,
    reads={"urls": NO_LIST, "dataset.urls": NO_LIST, "dataset.heldout_urls": NO_LIST},
    writes=("data.path",),
)
