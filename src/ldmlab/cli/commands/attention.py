"""`ldmlab attention`: show where a picture attends to each word of its prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ldmlab.cli.command import Command
from ldmlab.configs.checks import NO_ADAPTER
from ldmlab.configs.keys import Count, ModelKeys, Prompt

if TYPE_CHECKING:
    from omegaconf import DictConfig


class AttentionKeys(ModelKeys):
    """`ldmlab attention`."""

    prompt: Prompt
    words: Annotated[list[str], Field(min_length=1)] | None
    by: Literal["step", "site"] | None
    step_bins: Count
    sites: Annotated[list[str], Field(min_length=1)] | None
    scale: Literal["word", "common"]
    save_maps: bool
    half_maps: bool
    n: Count


def run(cfg: DictConfig) -> None:
    """Draw pictures and their heat maps."""
    from ldmlab.cli.attention import run

    run(cfg)


COMMAND = Command(
    summary="show where a picture attends to each word of its prompt",
    synopsis='ldmlab attention prompt="PROMPT" [words=[WORD,...]] [by=step|site] [KEY=VALUE ...]',
    description=(
        "Draws the pictures of `ldmlab sample`, bit for bit, and averages the model's attention to words on the "
        "way, over heads, sites and steps. Writes the pictures and heatmaps.png: a row for each picture, a column "
        "for each word. A word's map is the sum over its tokens; what words leave to 100 % goes to the begin and "
        "end marks and the padding, and to the picture where it is in the same softmax.",
        "by=step and by=site write a sheet more for each picture, a row for each range of steps or each site. "
        "Works with every sampler, on every backbone that attends to words; costs one conditional pass more for "
        "each call of the model.",
    ),
    examples=(
        ('ldmlab attention prompt="a red circle left of a blue square"', "four seeds, word by word"),
        ('ldmlab attention prompt="a red star" ckpt=shapes/unet by=site n=1', "site by site"),
        ('ldmlab attention prompt="a big red star" words=[star,"big red"] by=step', "a word and a phrase in time"),
        ('ldmlab attention prompt="a red star" save_maps=true half_maps=true', "the numbers, in fp16"),
    ),
    keys=AttentionKeys,
    rules=(NO_ADAPTER,),
    run=run,
)
