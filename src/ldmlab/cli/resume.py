"""Going on with a run: from which checkpoint, and whether this run can take over where that one stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.optim import Optimizer

from ldmlab.cli.export_run import MODEL
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.models.build import OBJECTIVE
from ldmlab.models.checkpoints import load_weights, read_lightning, require_fit
from ldmlab.models.component import with_defaults
from ldmlab.models.plain_data import require_plain, shown
from ldmlab.models.shipped import is_shipped
from ldmlab.torch_file import require_tensors
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.checkpoint_io import PREVIOUS
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.optimizers import optimizer_names

log = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
LAST, AUTO = "last", "auto"
LIGHTNINGS_OWN = "hpc_ckpt_*.ckpt"
"""What Lightning writes under SLURM, and would go on from by itself."""
FREE_TO_CHANGE = {"params", "lr", "initial_lr", "fused", "foreach", "capturable", "differentiable"}
"""Settings of an optimizer that a run may go on with changed, or that do not change what it does."""


@dataclass(frozen=True)
class Start:
    """Where a run goes on.

    Attributes:
        path: the checkpoint.
        content: what is in it.
        own: whether it is in the run's own folder.
    """

    path: Path
    content: dict[str, Any]
    own: bool

    @property
    def steps(self) -> int:
        """How many are done."""
        return int(self.content["global_step"])

    def without_tensors(self) -> Start:
        """This start without the checkpoint's tensors, to be kept while the run trains."""
        return Start(self.path, {"global_step": self.steps}, self.own)


def find_start(cfg: DictConfig) -> Start | None:
    """The checkpoint that `ckpt_path` asks for; None to begin.

    Raises:
        ValueError: there is none, it is damaged or not ours, or the folder holds what this run would overwrite.
    """
    folder, asked = Path(cfg.output_dir), cfg.ckpt_path
    there = [path for path in (folder / CHECKPOINT, folder / PREVIOUS, *folder.glob(LIGHTNINGS_OWN)) if path.exists()]
    if not there and (folder / MODEL).exists() and asked != LAST:
        raise ValueError(
            f"output_dir={folder}: holds {MODEL} and no checkpoint to go on from, and a run would write over it; give "
            "another folder, or take it away"
        )
    if asked in (LAST, AUTO):
        return _newest(folder, there, asked)
    path = None if asked is None else Path(asked)
    own = path is not None and path.parent.absolute() == folder.absolute()
    if there and not own:
        raise ValueError(
            f"output_dir={folder}: holds a run already; go on with it by ckpt_path=last, or give another folder"
        )
    return None if path is None else _read(path, own)


def _newest(folder: Path, there: list[Path], asked: str) -> Start | None:
    """The one with most steps; the second newest only where the newest is damaged, and then for `auto` alone."""
    if not there:
        if asked == LAST:
            raise ValueError(
                f"ckpt_path=last: no such file as {folder / CHECKPOINT}; give output_dir= of the run to go on, or "
                "ckpt_path=auto to begin where there is none"
            )
        log.info("there is no checkpoint in %s: the run begins", folder)
        return None
    found: list[Start] = []
    damaged: dict[str, ValueError] = {}
    for path in there:
        if path.name != PREVIOUS or not found:
            try:
                found.append(_read(path, own=True))
            except ValueError as error:
                damaged[path.name] = error
    if not found:
        raise next(iter(damaged.values()))
    best, newest = max(found, key=lambda start: start.steps), damaged.get(CHECKPOINT)
    if newest is not None and asked == LAST:
        raise ValueError(f"{newest}; {best.path} is whole and has {best.steps} steps: ckpt_path=auto takes it")
    if best.path.name != CHECKPOINT:
        log.warning("goes on from %s with %d steps%s", best.path, best.steps, f", because {newest}" if newest else "")
    return best


def _read(path: Path, own: bool) -> Start:
    if path.suffix == ".safetensors" or (not path.exists() and is_shipped(str(path))):
        raise ValueError(f"ckpt_path={path}: is a model, from which a run begins and does not go on: init_ckpt={path}")
    try:
        content = read_lightning(path)
    except ValueError as error:
        raise ValueError(str(error).replace("ckpt=", "ckpt_path=", 1)) from error
    if not {"config", "state_dict", "global_step", "loops", "optimizer_states"} <= set(content):
        raise ValueError(f"ckpt_path={path}: this is no training checkpoint of ldmlab; give a run's {CHECKPOINT}")
    try:
        require_plain(content["config"])
    except ValueError as error:
        raise ValueError(f"ckpt_path={path}: its config {error}") from error
    kinds = {"config": dict, "global_step": int, "loops": dict, "optimizer_states": list}
    wrong = next((name for name, kind in kinds.items() if not isinstance(content[name], kind)), None)
    if wrong is not None:
        raise ValueError(f"ckpt_path={path}: its '{wrong}' is {shown(content[wrong])}; give a run's {CHECKPOINT}")
    require_tensors(content["state_dict"], path, "ckpt_path")
    return Start(path, content, own)


def require_same_run(
    cfg: DictConfig, module: AutoencoderTraining | LatentDiffusionTraining, data: ShardDataModule, start: Start
) -> None:
    """Refuse a run that could not go on from its checkpoint as the one before would have.

    Raises:
        ValueError: it has another model, optimizer, or data.
    """
    path, state = start.path, start.content["state_dict"]
    stored, config = _up_to_date(start.content["config"], module.model_config), module.model_config
    for group in sorted({*stored, *config}):
        if stored.get(group) != config.get(group):
            raise ValueError(
                f"ckpt_path={path}: was trained with {group}={stored.get(group)}, this run has {config.get(group)}; "
                f"resume with the same model, or begin from its weights by init_ckpt={path}"
            )
    require_fit(module.state_dict(), state, path)
    if isinstance(module, LatentDiffusionTraining):
        _require_same_autoencoder(module, state, path)
        _take_conditioner(module, state, path)
    _require_same_optimizers(module.new_optimizers(), start)
    data.allow_other_data = cfg.allow_other_data
    try:
        data.require_same_order(start.content.get("ShardDataModule", {}))
    except ValueError as error:
        raise ValueError(f"ckpt_path={path}: {error}") from error


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


def _require_same_optimizers(optimizers: list[Optimizer], start: Start) -> None:
    """Their states would be taken over, and with them the settings, whatever this run asks for."""
    stored = start.content["optimizer_states"]
    names = start.content.get("optimizers")
    now = optimizer_names(optimizers)
    if len(stored) != len(now) or (names is not None and names != now):
        raise ValueError(
            f"ckpt_path={start.path}: was trained with {', '.join(names or [f'{len(stored)} optimizers'])}, this run "
            f"has {', '.join(now)}; resume with the same optimizer"
        )
    for optimizer, old in zip(optimizers, stored, strict=True):
        for group, settings in zip(optimizer.param_groups, old["param_groups"], strict=False):
            for name in sorted(settings.keys() - FREE_TO_CHANGE):
                if name not in group or group[name] != settings[name]:
                    raise ValueError(
                        f"ckpt_path={start.path}: was trained with optimizer.{name}={settings[name]}, this run has "
                        f"{group.get(name, 'no such setting')}; resume with the same optimizer (lr may change)"
                    )


def last_good(folder: Path, otherwise: str) -> str:
    """How to go on with the run in a folder; something else where nothing is saved yet."""
    path = folder / CHECKPOINT
    if not path.exists():
        return f"nothing is saved yet: {otherwise}"
    return f"the last good checkpoint is {path}; go on from it with ckpt_path=last output_dir={folder}"
