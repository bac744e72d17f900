"""`ldmlab evaluate`: measure a trained model, or pictures that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmlab.cli.command import Command
from ldmlab.configs.commands.evaluate import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ldmlab.evaluation.shares import Shares


def run(cfg: DictConfig) -> float | None:
    """Measure, print a table, write metrics.json; return the figure that the user names."""
    from hydra.core.hydra_config import HydraConfig

    from ldmlab.atomic import write_json
    from ldmlab.cli.joined import joined
    from ldmlab.cli.published import beside_published
    from ldmlab.cli.tables import figure_of, print_table
    from ldmlab.configs.overrides import name_protocol
    from ldmlab.evaluation.shares import Kept, Shares

    kept = Kept(Path(cfg.output_dir) / "measured")
    name_protocol(cfg, HydraConfig.get().runtime.choices)
    with joined(cfg) as ranks:
        result, what = _measured(cfg, Shares(ranks, kept))
    if ranks.is_first:
        path = Path(cfg.output_dir) / "metrics.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, result)
        kept.forget()
        title = f"{what}, {result['manifest']['n']} pictures"
        print_table(result["metrics"], title, result["errors"])
        below = beside_published(result, path.parent)
        for line in (*result["notes"], f"metrics: {path}", *_saved(cfg), *below):
            print(line)
    return figure_of(result["metrics"], cfg.figure)


def _saved(cfg: DictConfig) -> list[str]:
    """Where the pictures are, in a line."""
    from ldmlab.evaluation.saving import SAVED

    return [] if cfg.save_pictures is None else [f"pictures: {SAVED[cfg.save_pictures](Path(cfg.output_dir)).path}"]


def _measured(cfg: DictConfig, shares: Shares) -> tuple[dict[str, Any], str]:
    """The record of a measurement, and what was measured."""
    if cfg.pictures is not None:
        from ldmlab.configs.given import evaluate_pictures

        return evaluate_pictures(cfg, shares=shares), cfg.pictures
    from ldmlab.configs.evaluation import evaluate_from
    from ldmlab.configs.unread import chosen_by_user
    from ldmlab.models.loading import load_model
    from ldmlab.precision import pick_precision

    loaded = load_model(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    loaded.model.to(pick_precision(cfg.precision, cfg.device).device)
    return evaluate_from(cfg, loaded, chosen_by_user(), shares=shares), str(loaded.path)


COMMAND = Command(
    **vars(CHECKS),
    summary="measure a trained model, or pictures that are there already",
    synopsis="ldmlab evaluate [ckpt=PATH | pictures=PATH] [data.path=DATASET | reference=PATH] [KEY=VALUE ...]",
    description=(
        "A text-to-image model: Frechet distance and inception score on the features of the chosen extractor, "
        "and on shapes the share of what the captions ask for that a verifier reads back from the pixels. "
        "An autoencoder: PSNR, SSIM and the Frechet distance of reconstructions, and of a codebook the perplexity "
        "and the share of codes in use. A model conditioned on pictures: PSNR, SSIM and the same distance of "
        "held-out pictures drawn again, beside those of the naive answer: bicubic, the grey picture, a mean.",
        "metric=[NAME,...] takes other figures; docs/architecture.md shows how one is added. metric=vlb draws nothing "
        "and gives the variational bound of held-out latents.",
        "pictures= measures a folder of pictures or an .npz file in the place of a model; reference= names another one "
        "to compare with, such as ADM's, in the place of held-out shards. docs/evaluation.md tells more.",
        "protocol= measures as papers do: imagenet256, coco30k, laion. Below the rows that were published of models of "
        "classes, or of captions, stands yours, with marks for what makes figures no comparison.",
        "Prints a table and writes metrics.json with a manifest of everything the numbers depend on. Only "
        "extractor=inception gives the FID that papers report.",
    ),
    examples=(
        ("ldmlab evaluate ckpt=runs/train/mine/last.ckpt", "a model of yours on the data it was trained on"),
        ("ldmlab evaluate ckpt=shapes/unet n=200 guidance.scale=2", "the shipped UNet, guided less"),
        ("ldmlab evaluate extractor=inception extractor.weights=inception.pth", "published FID"),
        ("ldmlab evaluate pictures=samples.npz reference=photos", "anybody's pictures beside others"),
        ("ldmlab evaluate metric=[frechet_distance,diversity]", "figures of your choice"),
        ("ldmlab evaluate protocol=coco30k data.heldout_path=coco extractor.weights=inception.pth", "as papers do"),
        ("ldmlab evaluate -m guidance.scale=1,2,4", "one result a scale"),
        ("ldmlab evaluate n=50000 devices=auto output_dir=runs/evaluate/mine", "on all GPUs; again after a kill"),
    ),
    devices="devices",
    run=run,
)
