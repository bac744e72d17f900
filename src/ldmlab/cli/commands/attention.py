"""`ldmlab attention`: show where a picture attends to each word of its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.attention import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, and write them, their heat maps, and the maps themselves where asked."""
    from ldmlab.configs.build import build_drawing, resolved
    from ldmlab.drawing.computing import ready_to_draw
    from ldmlab.drawing.records import drawing_record
    from ldmlab.models.loading import load_latent_diffusion
    from ldmlab.precision import pick_precision
    from ldmlab.samplers.noise import picture_seeds
    from ldmlab.studio.attention import MapFiles, MapRequest, draw_with_maps

    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    words, sites = (None if values is None else [str(value) for value in values] for values in (cfg.words, cfg.sites))
    request = MapRequest(cfg.prompt, words, cfg.by, cfg.step_bins, sites, cfg.half_maps)
    request.columns(loaded.model, f"ckpt={loaded.path}")
    model = loaded.model.to(precision.device)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, cfg.n), precision)
    drawn = drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance))
    files = MapFiles(Path(cfg.output_dir), request, drawn, cfg.scale, cfg.save_maps)
    for part in draw_with_maps(model, ready_to_draw(model, drawing, cfg.compile), request):
        files.write(*part)
    files.finish()


COMMAND = Command(
    **vars(CHECKS),
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
    run=run,
)
