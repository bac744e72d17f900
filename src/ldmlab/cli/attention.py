"""`ldmlab attention`: where pictures attend to the words of their prompt."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, ListConfig

from ldmlab.configs.build import build_drawing, resolved
from ldmlab.drawing.computing import ready_to_draw
from ldmlab.drawing.records import drawing_record
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.precision import pick_precision
from ldmlab.samplers.noise import picture_seeds
from ldmlab.studio.attention import MapFiles, MapRequest, draw_with_maps


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, and write them, their heat maps, and the maps themselves where asked."""
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    words, sites = _list(cfg.words), _list(cfg.sites)
    request = MapRequest(cfg.prompt, words, cfg.by, cfg.step_bins, sites, cfg.half_maps)
    request.columns(loaded.model, f"ckpt={loaded.path}")
    model = loaded.model.to(precision.device)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, cfg.n), precision)
    record = drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance))
    files = MapFiles(Path(cfg.output_dir), request, record, cfg.scale, cfg.save_maps)
    for part in draw_with_maps(model, ready_to_draw(model, drawing, cfg.compile), request):
        files.write(*part)
    files.finish()


def _list(values: ListConfig | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]
