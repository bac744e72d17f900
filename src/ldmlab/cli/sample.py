"""`ldmlab sample`: pictures from prompts."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from ldmlab.configs.build import build_drawing, resolved
from ldmlab.drawing.prompt_file import checked, picture_count, read_prompts
from ldmlab.drawing.prompted import check_prompts, require_prompted
from ldmlab.drawing.records import drawing_record
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.pictures.series import Series
from ldmlab.precision import pick_precision
from ldmlab.samplers.noise import picture_seeds
from ldmlab.studio.samples import draw_series
from ldmlab.training.trained_on import require_shapes

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
    prompts, count = _wanted(cfg)
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    require_prompted(loaded)
    if cfg.prompts is None:
        require_shapes(cfg.ckpt, loaded)
    check_prompts(loaded.model, prompts)
    model = loaded.model.to(precision.device)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, count), precision)
    record = drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance))
    draw_series(model, drawing, Series(Path(cfg.output_dir), count, prompts, record, cfg.negative_prompt), cfg.compile)


def _wanted(cfg: DictConfig) -> tuple[list[str], int]:
    """The prompts, and how many pictures."""
    if cfg.prompts is None:
        return list(DEFAULT_PROMPTS), cfg.n or PICTURES
    given = cfg.prompts
    prompts = checked(map(str, given) if isinstance(given, ListConfig) else read_prompts(given))
    return prompts, picture_count(cfg.n, prompts, PICTURES)
