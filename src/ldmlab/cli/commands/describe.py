"""`ldmlab describe`: print a composed model: modules, parameters, MACs, FLOPs, tokens, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ldmlab.cli.command import Command
from ldmlab.cli.commands.train import TrainKeys
from ldmlab.configs.keys import Count

if TYPE_CHECKING:
    from omegaconf import DictConfig


class DescribeKeys(TrainKeys):
    """`ldmlab describe`."""

    depth: Count
    dtype: Literal["float32", "bfloat16", "float16"]
    json_: Annotated[bool, Field(alias="json")]


def run(cfg: DictConfig) -> None:
    """Build without memory, and print."""
    from ldmlab.cli.describe import run

    run(cfg)


COMMAND = Command(
    summary="print a composed model: modules, parameters, MACs, FLOPs, tokens, memory",
    synopsis="ldmlab describe [model=NAME] [GROUP=OPTION ...] [KEY=VALUE ...]",
    description=(
        "Builds the model that the same overrides would train, without training it, and counts. FLOPs are twice "
        "the MACs; papers that say GFLOPs of a transformer often mean MACs. Activations are the memory that a "
        "training pass of one picture keeps for its backward pass, in dtype.",
        "backbone=NAME without experiment= is described in the setting that NAME was published in, if there is an "
        "experiments/published/NAME.yaml; experiment=null switches that off. No checkpoint is needed then: "
        "autoencoder=NAME stands for one that is yet to be trained, and a checkpoint comes before it.",
    ),
    examples=(
        ("ldmlab describe backbone=dit_xl_2", "DiT-XL/2 as published: 675 million parameters, 118.6 GMACs"),
        ("ldmlab describe backbone=unet", "the UNet in place of the DiT"),
        ("ldmlab describe backbone=sd_1 depth=1 --json", "the networks of Stable Diffusion 1 alone, for machines"),
        ("ldmlab describe experiment=shapes/dit", "the model of a study"),
    ),
    switches=("json",),
    keys=DescribeKeys,
    run=run,
)
