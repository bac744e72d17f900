"""`ldmlab benchmark`: measure an editing method on drawn scenes that a verifier can judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field

from ldmlab.cli.command import Command
from ldmlab.configs.checks import NO_ADAPTER, Rule
from ldmlab.configs.keys import Count, ModelKeys, PathText, PerWord

if TYPE_CHECKING:
    from omegaconf import DictConfig


class BenchmarkKeys(ModelKeys):
    """`ldmlab benchmark`, with the method's own keys as for `ldmlab edit`."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["swap", "insert", "delete", "reweight"]
    weight: Annotated[float, Field(allow_inf_nan=False, strict=True)]
    n: Count
    figure: PathText
    word_tau: PerWord = None
    reweight: PerWord = None


def run(cfg: DictConfig) -> float | None:
    """Draw, edit and judge."""
    from ldmlab.cli.benchmark import run

    return run(cfg)


COMMAND = Command(
    summary="measure an editing method on drawn scenes that a verifier can judge",
    synopsis="ldmlab benchmark [kind=KIND] [method=NAME] [KEY=VALUE ...]",
    description=(
        "Draws scenes with the model, keeps those that the verifier reads as their captions ask, and edits them: "
        "kind=swap changes a word, insert says a size, delete takes an object out of the caption, reweight "
        "weakens a size without changing the caption. The verifier then says how often the change is there and "
        "how often everything else is as it was; pixels outside the edited object are compared with the source, "
        "and with what the same seed draws of the new caption without control.",
        "Prints a table and writes metrics.json with a manifest, edits.csv with a line an edit, and a contact "
        "sheet of sources over edits.",
    ),
    examples=(
        ("ldmlab benchmark kind=swap", "prompt-to-prompt, 200 edits"),
        ("ldmlab benchmark kind=swap method=mask_blend", "a baseline"),
        ("ldmlab benchmark experiment=prompt_to_prompt/insert ckpt=shapes/unet", "as the study has it"),
        ("ldmlab benchmark -m kind=swap,insert,delete sampler=ddim,unipc", "one result each"),
    ),
    keys=BenchmarkKeys,
    rules=(
        NO_ADAPTER,
        Rule(("inversion",), lambda config: True, "the benchmark draws the pictures that it edits"),
    ),
    run=run,
)
