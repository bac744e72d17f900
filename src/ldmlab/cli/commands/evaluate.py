"""`ldmlab evaluate`: measure a trained model on held-out shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ldmlab.cli.command import Command
from ldmlab.cli.commands.train import NO_SHARDS
from ldmlab.configs.checks import NO_ADAPTER, Rule, setting
from ldmlab.configs.keys import Count, ModelKeys, PathText

if TYPE_CHECKING:
    from omegaconf import DictConfig


class EvaluateKeys(ModelKeys):
    """`ldmlab evaluate`."""

    path: PathText | None
    heldout_path: PathText | None
    metric: Literal["pictures", "vlb"]
    bound_steps: Annotated[int, Field(ge=2)] | None
    n: Annotated[int, Field(ge=2)]
    pictures_per_caption: Count


def run(cfg: DictConfig) -> None:
    """Measure, and write metrics.json."""
    from ldmlab.cli.evaluate import run

    run(cfg)


COMMAND = Command(
    summary="measure a trained model on held-out shards",
    synopsis="ldmlab evaluate [ckpt=PATH] [path=DATASET] [KEY=VALUE ...]",
    description=(
        "A text-to-image model: Frechet distance and inception score on the features of the chosen extractor, "
        "and on shapes the share of what the captions ask for that a verifier reads back from the pixels. "
        "An autoencoder: PSNR, SSIM and the Frechet distance of reconstructions, and of a codebook the perplexity "
        "and the share of codes in use. A model conditioned on pictures: PSNR, SSIM and the same distance of "
        "held-out pictures drawn again, beside those of the naive answer: bicubic, the grey picture, a mean.",
        "Prints a table and writes metrics.json with a manifest of everything the numbers depend on. Only "
        "extractor=inception gives the FID that papers report.",
    ),
    examples=(
        ("ldmlab evaluate ckpt=runs/train/mine/last.ckpt", "a model of yours on the data it was trained on"),
        ("ldmlab evaluate ckpt=shapes/unet n=200 guidance.scale=2", "the shipped UNet, guided less"),
        ("ldmlab evaluate extractor=inception extractor.weights=inception.pth", "published FID"),
        ("ldmlab evaluate -m guidance.scale=1,2,4", "one result a scale"),
    ),
    keys=EvaluateKeys,
    rules=(
        NO_ADAPTER,
        Rule(
            ("sampler", "guidance", "extractor", "pictures_per_caption"),
            setting("metric", "vlb"),
            "metric=vlb draws no pictures",
        ),
        Rule(("bound_steps",), setting("metric", "pictures"), "only metric=vlb has a chain of steps"),
    ),
    reads={
        "path": NO_SHARDS,
        "heldout_path": "no such folder; give one of tars, or null for path/heldout",
    },
    run=run,
)
