"""`ldmlab edit`: change a part of a picture, drawn or given, and keep the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict

from ldmlab.cli.command import Command
from ldmlab.configs.checks import NO_ADAPTER, Rule, setting
from ldmlab.configs.keys import Count, ModelKeys, PathText, PerWord, Prompt

if TYPE_CHECKING:
    from omegaconf import DictConfig


class EditKeys(ModelKeys):
    """`ldmlab edit`. The method's own keys come with it; those that hold a mapping are named here as well."""

    model_config = ConfigDict(extra="allow")

    source: Prompt | None
    target: Prompt | None
    image: PathText | None
    mask: PathText | None
    n: Count
    word_tau: PerWord = None
    reweight: PerWord = None


def run(cfg: DictConfig) -> None:
    """Edit pictures, drawn or given."""
    from ldmlab.cli.edit import run

    run(cfg)


COMMAND = Command(
    summary="change a part of a picture, drawn or given, and keep the rest of it",
    synopsis='ldmlab edit [method=NAME] [image=FILE] [source="PROMPT"] [target="PROMPT"] [KEY=VALUE ...]',
    description=(
        "Prompt-to-prompt: both prompts are drawn side by side from the same noise, and the attention maps of the "
        "first steer the second. What differs between the prompts is found by aligning their words: swapped, "
        "inserted and deleted words, of any number on either side; reweight strengthens and weakens words.",
        "Works with every sampler, on every backbone that attends to words. method=fixed_seed draws the target "
        "prompt from the same noise without control, to compare with.",
        "image=FILE edits a picture of yours: prompt-to-prompt inverts it first (inversion=), and says how well; "
        "method=inpaint and mask_blend draw what mask=FILE marks white and keep all other pixels to the last bit; "
        "uncrop draws around it; sdedit keeps its layout; image_to_image is for models that were trained to read a "
        "picture.",
    ),
    examples=(
        ('ldmlab edit source="a red circle" target="a blue circle"', "four seeds, before and after"),
        ('ldmlab edit source="a red star" target="a blue star" tau_grid=[0,0.25,0.5,0.75,1]', "one row a tau"),
        ("ldmlab edit source='a red star above a blue circle' reweight='{star: 2}'", "a stronger word"),
        ('ldmlab edit source="a red circle" target="a blue circle" blend=[]', "only where the words differ"),
        ('ldmlab edit image=photo.png source="a red circle" target="a red star"', "a picture of yours"),
        ('ldmlab edit method=inpaint image=photo.png mask=mask.png target="a star"', "a part of it"),
    ),
    keys=EditKeys,
    rules=(
        NO_ADAPTER,
        Rule(("inversion",), setting("image", None), "only a picture that is given is inverted; give image= as well"),
    ),
    reads=dict.fromkeys(("image", "mask"), "no such file or directory; give a JPEG, PNG or WebP file"),
    run=run,
)
