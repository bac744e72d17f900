"""`ldmlab audit`: what can be used of a data set, and what is wrong with the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.audit import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Scan what is not yet scanned, and say what was found."""
    from ldmlab.configs.audits import audit_from

    print(audit_from(cfg))


COMMAND = Command(
    **vars(CHECKS),
    summary="look at all shards of a data set, and name what is wrong with them",
    synopsis="ldmlab audit data.path=FOLDER [filter=NAME] [KEY=VALUE ...]",
    description=(
        "Scans the shards of a folder, on several processes, and keeps the index that training reads. Names every "
        "sample that cannot be used by key, shard and reason in a table, and compares counts with the _stats.json of "
        "img2dataset and, where pyarrow is installed, with its parquet files. Shards stay as they are.",
        "What was scanned is kept shard by shard, so an interrupted audit goes on where it stopped, and another one "
        "scans what has changed. With filter= it says how many samples each condition would leave out.",
    ),
    examples=(
        ("ldmlab audit data.path=laion workers=16", "scan, index, and name what is wrong"),
        ("ldmlab audit data.path=laion filter=sd2", "what a filter would leave"),
        ("ldmlab audit data.path=laion checksums=true decode=true", "read every byte, and decode every picture"),
    ),
    run=run,
)
