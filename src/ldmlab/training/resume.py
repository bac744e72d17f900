"""Going on with a run: from which checkpoint, and whether this run can take over where that one stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmlab.data.training_data import TrainingData
from ldmlab.models.build import OBJECTIVE
from ldmlab.models.checkpoints import CHECKPOINT, PREVIOUS, load_weights, read_lightning, require_fit
from ldmlab.models.component import with_defaults
from ldmlab.models.plain_data import require_plain, shown
from ldmlab.models.shipped import is_shipped
from ldmlab.models.stored import ADAPTER
from ldmlab.torch_file import require_tensors
from ldmlab.training.base import Training
from ldmlab.training.export import MODEL
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.stepping import require_same_stepping

log = logging.getLogger(__name__)

LAST, AUTO = "last", "auto"
LIGHTNINGS_OWN = "hpc_ckpt_*.ckpt"
"""What Lightning writes under SLURM, and would go on from by itself."""


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

    def let_go(self) -> None:
        """Keep nothing of the content but the number of steps, while the run trains."""
        steps = self.steps
        self.content.clear()
        self.content["global_step"] = steps


def find_start(folder: Path, asked: str | None) -> Start | None:
    """The checkpoint that a run goes on from; None to begin.

    Args:
        folder: of the run.
        asked: a path, "last" for the newest in the folder, "auto" for that or the begin, None for the begin.

    Raises:
        ValueError: there is none, it is damaged or not ours, or the folder holds what this run would overwrite.
    """
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
        raise ValueError(f"{newest}; ckpt_path=auto goes on from {best.path} with {best.steps} steps")
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


def require_same_run(module: Training, data: TrainingData, start: Start, steps: int) -> None:
    """Refuse a run that could not go on from its checkpoint as the one before would have.

    Args:
        module: to be trained on.
        data: to train on.
        start: where it goes on.
        steps: of the run in all.

    Raises:
        ValueError: it has another model, optimizer, scheduler, or data.
    """
    path, state = start.path, start.content["state_dict"]
    stored, config = _up_to_date(start.content["config"], module.model_config), module.model_config
    for group in sorted({*stored, *config}):
        if stored.get(group) != config.get(group):
            raise ValueError(
                f"ckpt_path={path}: was trained with {group}={stored.get(group)}, this run has {config.get(group)}; "
                f"resume with the same model, or begin from its weights by init_ckpt={path}"
            )
    require_fit(module.stored(module.state_dict()), state, path)
    if isinstance(module, LatentDiffusionTraining) and config["model"] != ADAPTER:  # whose base is known by its digest
        _require_same_autoencoder(module, state, path)
        _take_conditioner(module, state, path)
    require_same_stepping(module, start.content, path, steps)
    try:
        data.require_same_order(_state_of(data, start))
    except ValueError as error:
        raise ValueError(f"ckpt_path={path}: {error}") from error


def _state_of(data: TrainingData, start: Start) -> Mapping[str, Any]:
    """What a checkpoint remembers of data of this kind, where Lightning keeps it."""
    kind = type(data).__qualname__
    if kind not in start.content:
        raise ValueError(
            f"was trained on data of another kind than this run's {data.location}; give the same data=, or begin from "
            f"its weights by init_ckpt={start.path}"
        )
    state: Mapping[str, Any] = start.content[kind]
    return state


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


def last_good(folder: Path, otherwise: str) -> str:
    """How to go on with the run in a folder; something else where nothing is saved yet."""
    path = folder / CHECKPOINT
    if not path.exists():
        return f"nothing is saved yet: {otherwise}"
    return f"the last good checkpoint is {path}; go on from it with ckpt_path=last output_dir={folder}"
