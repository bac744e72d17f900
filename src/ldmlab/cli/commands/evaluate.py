"""`ldmlab evaluate`: measure a trained model on held-out shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ldmlab.cli.command import Command
from ldmlab.cli.commands.train import NO_SHARDS
from ldmlab.configs.checks import NO_ADAPTER, Rule
from ldmlab.configs.keys import Count, ModelKeys, PathText

if TYPE_CHECKING:
    from omegaconf import DictConfig


class EvaluateKeys(ModelKeys):
    """`ldmlab evaluate`."""

    path: PathText | None
    heldout_path: PathText | None
    n: Annotated[int, Field(ge=2)]
    pictures_per_caption: Count
    figure: str | None


def run(cfg: DictConfig) -> float | None:
    """Measure, print a table, write metrics.json; return the figure that the user names."""
    from pathlib import Path

    from hydra.utils import instantiate

    from ldmlab.atomic import write_json
    from ldmlab.autoencoders.base import Autoencoder
    from ldmlab.cli.tables import figure_of, print_table
    from ldmlab.configs.build import build_drawing, build_metrics, resolved
    from ldmlab.configs.unread import refuse_choices
    from ldmlab.evaluation.evaluate import reads_latents, task_of
    from ldmlab.evaluation.held_out import held_out, needs_of
    from ldmlab.evaluation.record import evaluate_loaded
    from ldmlab.metrics.manifest import sampling_fields
    from ldmlab.models.loading import load_model
    from ldmlab.precision import pick_precision
    from ldmlab.training.trained_on import heldout_reference, tell_of_seen

    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_model(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    model = loaded.model.to(precision.device)
    metrics, called = build_metrics(cfg.metric, task_of(model))
    drawing = None
    if isinstance(model, Autoencoder):
        refuse_choices(("sampler", "guidance", "pictures_per_caption"), "an autoencoder is measured by what it returns")
    elif not all(map(reads_latents, metrics.values())):
        drawing = build_drawing(cfg, model, (), precision)
    needs, size = needs_of(model), loaded.checkpoint.config["image_size"]
    folder = heldout_reference(cfg.ckpt, loaded, needs, print, cfg.path, cfg.heldout_path)
    heldout = held_out(folder, needs, size, cfg.n, cfg.seed, cfg.batch_size)
    notes: list[str] = []
    tell_of_seen(loaded, heldout.dataset.index, notes.append)
    result = evaluate_loaded(
        loaded,
        heldout,
        metrics,
        instantiate(cfg.extractor).to(precision.device),
        drawing,
        precision=precision,
        compile=cfg.compile,
        pictures_per_caption=cfg.pictures_per_caption,
        sampling=sampling_fields(resolved(cfg.sampler), resolved(cfg.guidance)),
        called=called,
        notes=notes,
    )
    path = Path(cfg.output_dir) / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    print_table(result["metrics"], f"{loaded.path}, {heldout.n} held-out samples")
    for line in (*result["notes"], f"metrics: {path}"):
        print(line)
    return figure_of(result["metrics"], cfg.figure)


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
            lambda config: set(config.metric) == {"vlb"},
            "metric=vlb draws no pictures",
        ),
    ),
    reads={
        "path": NO_SHARDS,
        "heldout_path": "no such folder; give one of tars, or null for path/heldout",
    },
    run=run,
)
