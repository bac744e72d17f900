"""`ldmlab data`: write a captioned dataset as WebDataset shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.data import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Write what is not there yet and say what was done."""
    from ldmlab.configs.datasets import write_from

    print(write_from(cfg))


COMMAND = Command(
    **vars(CHECKS),
    summary="write a captioned dataset as WebDataset shards",
    synopsis="ldmlab data [dataset=NAME] [KEY=VALUE ...]",
    description=(
        "Draws the pictures of a dataset and writes them in the layout of img2dataset: numbered tar files of "
        "pictures, captions and json, a training and a held-out split that share no scene and no picture.",
        "The same seed gives the same bytes. An interrupted run leaves no half shard, and the same command "
        "goes on where it stopped.",
    ),
    examples=(
        ("ldmlab data dataset=shapes", "21 000 drawn scenes in data/shapes"),
        ("ldmlab data dataset=shapes dataset.image_size=128 data.path=data/big", "larger pictures, elsewhere"),
        ("ldmlab data dataset=openmoji dataset.background=black", "the pictures of OpenMoji on black"),
    ),
    run=run,
)
