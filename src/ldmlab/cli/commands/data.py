"""`ldmlab data`: write or fetch a captioned dataset as WebDataset shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.data import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Write or fetch what is not there yet and say what was done."""
    from ldmlab.configs.datasets import write_from

    print(write_from(cfg))


COMMAND = Command(
    **vars(CHECKS),
    summary="write or fetch a captioned dataset as WebDataset shards",
    synopsis="ldmlab data [dataset=NAME] [KEY=VALUE ...]",
    description=(
        "Writes a dataset in the layout of img2dataset: numbered tar files of pictures, captions and json, a training "
        "and a held-out split that share no picture. Its pictures are drawn, lie in a folder or in a dataset of "
        "Hugging Face, or are fetched from a list of URLs, such as LAION's, and audited.",
        "The same seed gives the same bytes. An interrupted run leaves no half shard that counts, and the same command "
        "goes on where it stopped.",
    ),
    examples=(
        ("ldmlab data dataset=shapes", "21 000 drawn scenes in data/shapes"),
        ("ldmlab data dataset=shapes dataset.image_size=128 data.path=data/big", "larger pictures, elsewhere"),
        ("ldmlab data dataset=openmoji dataset.background=black", "the pictures of OpenMoji on black"),
        ("ldmlab data dataset=folder dataset.folder=pictures data.path=data/mine", "pictures of your own"),
        ("ldmlab data dataset=laion urls=meta.parquet data.path=data/laion", "the pictures of a list of URLs"),
    ),
    run=run,
)
