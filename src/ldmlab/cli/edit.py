"""`ldmlab edit`: a picture, drawn or given, and the same picture edited."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ldmlab.configs.build import build_drawing, build_method, method_settings, resolved
from ldmlab.drawing.computing import peak_memory, ready_to_draw
from ldmlab.drawing.records import drawing_record, portable
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.pictures.reading import read_mask, read_picture, require_same_size
from ldmlab.precision import pick_precision
from ldmlab.samplers.noise import picture_seeds
from ldmlab.studio.edits import EditRecord, edit_task, write_edits


def run(cfg: DictConfig) -> None:
    """Edit for `n` seeds, and write the pictures and a contact sheet with one row an edit."""
    method = build_method(cfg)
    method.check({key for key in ("source", "target", "image", "mask") if cfg[key] is not None})
    image = None if cfg.image is None else read_picture(cfg.image)
    mask = None if cfg.mask is None else read_mask(cfg.mask)
    if image is not None and mask is not None:
        require_same_size(image, mask, f"mask={cfg.mask}")
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    model = loaded.model.to(precision.device)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, cfg.n), precision)
    task = edit_task(model, ready_to_draw(model, drawing, cfg.compile), method, cfg.source, cfg.target, image, mask)
    record = EditRecord(
        drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance)),
        method_settings(cfg),
        cfg.source,
        cfg.target,
        portable(cfg.image),
        portable(cfg.mask),
    )
    write_edits(Path(cfg.output_dir), method, task, record)
    print(f"peak memory: {peak_memory(precision.device)}")
