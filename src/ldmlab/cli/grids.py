"""The pictures that a training run draws now and then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from ldmlab.conditioners.image import ImageConditioner, complete_each
from ldmlab.configs.build import build_drawing
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.shard_dataset import ImageBatch, collate
from ldmlab.drawing.conditions import read_of
from ldmlab.drawing.drawing import Drawing
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.samplers.noise import picture_seeds
from ldmlab.training.callbacks.attention import attention_drawer
from ldmlab.training.callbacks.grids import Draw, PictureGrid, reconstruction_drawer, sample_drawer, task_drawer
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

RECONSTRUCTIONS = 8
SAMPLES = 4


def picture_grid(
    cfg: DictConfig,
    module: L.LightningModule,
    data: ShardDataModule,
    folder: Path,
    precision: Precision | None = None,
) -> PictureGrid:
    """The callback that draws them. What cannot be drawn is refused now, not at the first grid.

    Raises:
        ValueError: prompts that the model cannot draw, or maps of words where there are none.
    """
    pictures = folder / "pictures"
    if not isinstance(module, LatentDiffusionTraining):
        drawer = reconstruction_drawer(lambda: _first_samples(data, RECONSTRUCTIONS)["images"])
        return PictureGrid(drawer, pictures, cfg.grid_every)
    model = module.model
    if isinstance(model.conditioner, ImageConditioner):
        if cfg.grid_attention:
            raise ValueError("grid_attention: this model draws from pictures; leave it at false")
        return PictureGrid(_restorations(cfg, model, data, precision), pictures, cfg.grid_every, columns=3)
    samples = _samples(cfg, model, data, precision)
    maps = attention_drawer(model, *samples) if cfg.grid_attention else None
    return PictureGrid(sample_drawer(*samples), pictures, cfg.grid_every, maps=maps)


def _restorations(cfg: DictConfig, model: LatentDiffusion, data: ShardDataModule, precision: Precision | None) -> Draw:
    """From held-out pictures."""
    if cfg.grid_prompts is not None:
        raise ValueError("grid_prompts: this model draws from pictures, the first held-out ones; leave it at null")
    samples = _first_samples(data, SAMPLES)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, len(samples["images"])), precision)
    batch = complete_each(model.conditioner, samples, drawing.seeds)
    drawing.check(model, batch)
    return task_drawer(drawing, batch)


def _samples(
    cfg: DictConfig, model: LatentDiffusion, data: ShardDataModule, precision: Precision | None
) -> tuple[Drawing, Mapping[str, Any], list[str]]:
    """How, what, and what stands over it."""
    if cfg.grid_prompts is None:
        batch: dict[str, Any] = dict(_first_samples(data, SAMPLES))
        titles = _titles(batch)
    else:
        titles = list(cfg.grid_prompts)
        batch = model.conditioner.batch(titles)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, len(titles)), precision)
    condition = read_of(model, drawing.guidance, batch)
    drawing.check(model, condition)
    return drawing, condition, titles


def _titles(batch: Mapping[str, Any]) -> list[str]:
    """What stands over data's samples."""
    return batch.get("captions") or [f"class {label}" for label in batch.get("labels", ())] or batch["keys"]


def _first_samples(data: ShardDataModule, count: int) -> ImageBatch:
    source = data.heldout_set if data.heldout_path.is_dir() else data.train_set
    return collate([source[i] for i in range(min(count, len(source)))])
