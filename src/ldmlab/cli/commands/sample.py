"""`ldmlab sample`: draw pictures from prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ldmlab.cli.command import Command, Words
from ldmlab.configs.checks import NO_ADAPTER
from ldmlab.configs.keys import VERBATIM, Count, ModelKeys, PathText

if TYPE_CHECKING:
    from omegaconf import DictConfig


class SampleKeys(ModelKeys):
    """`ldmlab sample`."""

    prompts: PathText | list[str] | None
    negative_prompt: Annotated[str, VERBATIM] | None
    n: Count | None


def run(cfg: DictConfig) -> None:
    """Draw pictures, and write those that are missing."""
    from ldmlab.cli.sample import run

    run(cfg)


COMMAND = Command(
    summary="draw pictures from prompts",
    synopsis='ldmlab sample ["PROMPT" ...] [KEY=VALUE ...]',
    description=(
        "Words without `=` are prompts. Without ckpt= the model that comes with ldmlab draws. Writes the "
        "pictures and a labelled contact sheet; the same seed gives the same bytes whatever the batch size (on a "
        "GPU, up to rounding).",
    ),
    examples=(
        (
            'ldmlab sample "a small red circle left of a big blue square" "a green star"',
            "16 pictures, dealt in turn",
        ),
        ('ldmlab sample "a red star" n=4 seed=7 sampler.steps=20 guidance.scale=2', "fewer, faster, freer"),
        ("ldmlab sample prompts=prompts.txt ckpt=runs/train/mine/last.ckpt", "a file of prompts, a model of yours"),
    ),
    keys=SampleKeys,
    reads={"prompts": "no such file; give a text file with a prompt a line, or words without '='"},
    words=Words("prompts", "prompt", several=True),
    free=("output_dir", "batch_size", "device", "precision", "compile", "n"),
    rules=(NO_ADAPTER,),
    run=run,
)
