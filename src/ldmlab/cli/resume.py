"""Going on with a run: which checkpoint, and whether this run can take over where that one stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from ldmlab.cli.build import with_defaults
from ldmlab.models.build import OBJECTIVE
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.checkpoints import load_weights, read_lightning, require_fit
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

CHECKPOINT = "last.ckpt"


def resume_from(cfg: DictConfig, module: AutoencoderTraining | LatentDiffusionTraining) -> str | None:
    """The checkpoint to go on from, refused where this run could not go on as that one would have."""
    if cfg.ckpt_path is None:
        return None
    path = Path(cfg.output_dir) / CHECKPOINT if cfg.ckpt_path == "last" else Path(cfg.ckpt_path)
    if not path.is_file():
        raise ValueError(f"ckpt_path={cfg.ckpt_path}: no such file as {path}; give output_dir= of the run to go on")
    checkpoint, config = read_lightning(path), module.model_config
    stored = checkpoint.get("config")
    if stored is None:
        raise ValueError(f"ckpt_path={path}: this is no training checkpoint of ldmlab")
    stored = _up_to_date(stored, config)
    for group in sorted({*stored, *config}):
        if stored.get(group) != config.get(group):
            raise ValueError(
                f"ckpt_path={path}: was trained with {group}={stored.get(group)}, this run has {config.get(group)}; "
                "resume with the same model"
            )
    if checkpoint["global_step"] >= cfg.trainer.max_steps:
        raise ValueError(f"ckpt_path={path}: has {checkpoint['global_step']} steps already; raise trainer.max_steps")
    require_fit(module.state_dict(), checkpoint["state_dict"], path)
    if isinstance(module, LatentDiffusionTraining):
        _require_same_autoencoder(module, checkpoint["state_dict"], path)
        _take_conditioner(module, checkpoint["state_dict"], path)
    return str(path)


def _up_to_date(stored: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's stored config with what came to ldmlab after it began, at what it had then."""
    whole = {**stored, "objective": stored.get("objective", OBJECTIVE)} if "objective" in config else dict(stored)
    for group, option in whole.items():
        now = config.get(group)
        if isinstance(option, dict) and isinstance(now, dict) and option.get("_target_") == now.get("_target_"):
            whole[group] = with_defaults(option, now)
    return whole


def _require_same_autoencoder(module: LatentDiffusionTraining, state: Mapping[str, Tensor], path: Path) -> None:
    for name, value in module.model.autoencoder.state_dict().items():
        if not torch.equal(value, state[f"model.autoencoder.{name}"]):
            raise ValueError(f"ckpt_path={path}: was trained on another autoencoder; give its autoencoder_ckpt=")


def _take_conditioner(module: LatentDiffusionTraining, state: Mapping[str, Tensor], path: Path) -> None:
    """Its tokenizer is read before Lightning loads the rest, by the first look at what is to be drawn."""
    prefix = "model.conditioner."
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    load_weights(module.model.conditioner, own, path)


def last_good(folder: Path) -> str:
    path = folder / CHECKPOINT
    if not path.exists():
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {path}; go on from it with ckpt_path=last output_dir={folder}"
