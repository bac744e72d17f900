"""`ldmlab sample`: draw pictures from prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command, Words
from ldmlab.configs.commands.sample import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig

PICTURES = 16
"""How many are drawn where no number is given, if there are no more prompts."""
DEFAULT_PROMPTS = (
    "a small red circle left of a big blue square",
    "a green star",
    "a big yellow triangle above a small purple circle",
    "a small orange square at the top on a black background",
)


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, dealt to the prompts in turn, each written when it is drawn; a contact sheet and a strip.

    A run that was ended goes on in its folder: pictures that are there, drawn as this run would, are not drawn again.
    """
    from ldmlab.cli.joined import joined
    from ldmlab.configs.build import build_drawing, resolved
    from ldmlab.drawing.prompted import check_prompts, require_prompted
    from ldmlab.drawing.records import drawing_record
    from ldmlab.models.loading import load_latent_diffusion
    from ldmlab.pictures.series import Series
    from ldmlab.precision import pick_precision
    from ldmlab.samplers.noise import picture_seeds
    from ldmlab.studio.samples import draw_series
    from ldmlab.training.trained_on import require_shapes

    prompts, count = _wanted(cfg)
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    require_prompted(loaded)
    if cfg.prompts is None and not loaded.model.conditioner.says_something:
        prompts = [""]  # which nothing reads
    elif cfg.prompts is None:
        require_shapes(cfg.ckpt, loaded)
    check_prompts(loaded.model, prompts)
    model = loaded.model.to(precision.device)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, count), precision)
    record = drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance))
    series = Series(Path(cfg.output_dir), count, prompts, record, cfg.negative_prompt)
    with joined(cfg) as ranks:
        draw_series(model, drawing, series, cfg.compile, ranks=ranks)


def _wanted(cfg: DictConfig) -> tuple[list[str], int]:
    """The prompts, and how many pictures."""
    from ldmlab.drawing.prompt_file import checked, picture_count, read_prompts

    if cfg.prompts is None:
        return list(DEFAULT_PROMPTS), cfg.n or PICTURES
    prompts = checked(read_prompts(cfg.prompts) if isinstance(cfg.prompts, str) else map(str, cfg.prompts))
    return prompts, picture_count(cfg.n, prompts, PICTURES)


COMMAND = Command(
    **vars(CHECKS),
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
        ("ldmlab sample prompts=prompts.txt n=50000 devices=auto", "on all GPUs of this host"),
    ),
    words=Words("prompts", "prompt", several=True),
    free=("output_dir", "batch_size", "device", "devices", "num_nodes", "precision", "compile", "n"),
    devices="devices",
    run=run,
)
