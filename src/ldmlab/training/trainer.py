"""Makes Lightning's Trainer for a run: what the user asks of it, and what a run's promises need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.precision import Precision as PrecisionPlugin
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.base import Training
from ldmlab.training.callbacks.evaluation import Evaluation
from ldmlab.training.callbacks.going_on import GoingOn
from ldmlab.training.callbacks.grids import PictureGrid
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.progress import ProgressLine, ProgressLines
from ldmlab.training.callbacks.watching import Watching
from ldmlab.training.checkpoint_io import AtomicCheckpointIO, BackgroundCheckpointIO
from ldmlab.training.precision import HalfWeights, numbers_of, precision_plugin, training_precision
from ldmlab.training.strategies.fsdp2 import FSDP2
from ldmlab.training.strategies.processes import require_no_mpi, require_ranks, strategy_of

Trainer = L.Trainer
KINDS: dict[str, type] = {"callbacks": L.Callback, "logger": Logger}
"""What the entries of these groups are."""
STEPS = 20_000
"""Of a run whose length nobody says."""
PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}
BARS = (ProgressBar, ProgressLine, ProgressLines)
LATE = (Checkpoint, LastCheckpoint, PictureGrid, Evaluation, Watching, GoingOn)
"""Callbacks that come after the others, in this order: a checkpoint is written before pictures are drawn."""


def make_trainer(
    make: partial[L.Trainer],
    folder: Path,
    precision: str = "auto",
    callbacks: Iterable[L.Callback] = (),
    loggers: Sequence[Logger] = (),
    background: bool = False,
) -> L.Trainer:
    """The Trainer of a run. Writes nothing, so that it comes before all else.

    Args:
        make: Lightning's Trainer with what the user asks of it. `max_steps=None` leaves the length to `max_epochs`, or
            is 20,000; `precision` are Lightning's names, see `training_precision`.
        folder: of the run.
        precision: what it computes in.
        callbacks: of the run, among them a `LastCheckpoint`.
        loggers: of the run; any number.
        background: write checkpoints while training goes on.

    Raises:
        ValueError: an argument that the Trainer does not take, or that no run here could go on with.
    """
    settings = dict(make.keywords)
    require_no_mpi()
    lightnings = settings.pop("precision", None)
    files = BackgroundCheckpointIO() if background else AtomicCheckpointIO()
    plugins = [files, *_listed(settings.pop("plugins", None))]
    callbacks = [*callbacks, *_listed(settings.pop("callbacks", None))]
    if not settings.get("enable_progress_bar", True):
        callbacks = [each for each in callbacks if not isinstance(each, BARS)]
    settings |= {
        "callbacks": callbacks,
        "plugins": plugins,
        "logger": list(loggers) or False,
        "default_root_dir": folder,
        "profiler": _profiler(settings.get("profiler"), folder),
        "strategy": strategy_of(settings),
        "use_distributed_sampler": False,  # the data have an order of their own
        "enable_checkpointing": any(isinstance(each, Checkpoint) for each in callbacks),
        "enable_progress_bar": any(isinstance(each, ProgressBar) for each in callbacks),
    }
    try:
        settings |= _lengths(settings)
        trainer: L.Trainer = make.func(**settings)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise _in_one_line(error, settings) from error
    require_ranks(trainer)
    device = trainer.strategy.root_device
    if not any(isinstance(each, PrecisionPlugin) for each in plugins):
        trainer.strategy.precision_plugin = precision_plugin(*training_precision(precision, lightnings, device))
    trainer.asked_steps = settings["max_steps"]  # type: ignore[attr-defined]  # which fast_dev_run does not run
    trainer.max_time = settings.get("max_time")  # type: ignore[attr-defined]  # to be told if it ends the run
    trainer.callbacks = sorted(trainer.callbacks, key=_place)  # type: ignore[attr-defined]
    return trainer


def require_what_training_takes(trainer: L.Trainer, module: Training) -> None:
    """An autoencoder has two optimizers, which Lightning neither clips nor accumulates for.

    Raises:
        ValueError: the Trainer is asked to.
    """
    if isinstance(trainer.strategy, FSDP2):
        _require_shareable(trainer, module)
    if not isinstance(module, AutoencoderTraining):
        return
    if trainer.gradient_clip_val is not None:
        raise ValueError(
            f"trainer.gradient_clip_val={trainer.gradient_clip_val}: an autoencoder clips by its own norm; use "
            "training.gradient_clip"
        )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}: an autoencoder steps after each "
            "batch; use a larger data.batch_size"
        )
    if isinstance(trainer.precision_plugin, HalfWeights):
        raise ValueError(
            "trainer.precision=bf16-true: an autoencoder has no averaged weights to keep what bf16 rounds away; use "
            "bf16-mixed"
        )


def _require_shareable(trainer: L.Trainer, module: Training) -> None:
    """What `FSDP2` does not train."""
    if isinstance(module, AutoencoderTraining):
        raise ValueError(
            "strategy=fsdp2: shares the blocks of a diffusion model's backbone, and an autoencoder has none; use "
            "strategy=ddp"
        )
    halves, scales = isinstance(trainer.precision_plugin, HalfWeights), numbers_of(trainer).name == "fp16"
    if halves or scales:
        raise ValueError(
            f"{'trainer.precision=bf16-true' if halves else 'precision=fp16'}: strategy=fsdp2 shares weights in fp32, "
            "and scales no gradients; use precision=bf16, or strategy=ddp"
        )


def limit_to_epochs(trainer: L.Trainer, batches: int | None) -> None:
    """Let a run of so many epochs be one of so many steps, which learning rates, progress and checkpoints go by.

    Args:
        trainer: with `max_epochs`, or without.
        batches: that the data give in an epoch; None where that is not known.

    Raises:
        ValueError: it is not known, and epochs are asked for.
    """
    epochs, limit = trainer.max_epochs, trainer.limit_train_batches
    if epochs is None or epochs < 0:
        return
    if batches is None:
        raise ValueError(
            f"trainer.max_epochs={epochs}: the length of an epoch of a stream is not known; give its samples by "
            "data.samples=, or the length of the run by trainer.max_steps="
        )
    used = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    steps = epochs * ceil(used / trainer.accumulate_grad_batches)
    trainer.fit_loop.epoch_loop.max_steps = steps if trainer.max_steps < 0 else min(steps, trainer.max_steps)


def _place(callback: L.Callback) -> int:
    return max((place for place, kind in enumerate(LATE, 1) if isinstance(callback, kind)), default=0)


def _lengths(settings: dict[str, Any]) -> dict[str, Any]:
    """How long a run is and how often it validates, where Lightning would have it otherwise."""
    steps, epochs = settings.get("max_steps"), settings.get("max_epochs")
    if steps is None:
        steps = STEPS if epochs is None else -1
    if steps < 0 and (epochs is None or epochs < 0) and settings.get("max_time") is None:
        raise ValueError(f"max_steps={steps}: such a run never ends; give trainer.max_steps, max_epochs or max_time")
    lengths: dict[str, Any] = {"max_steps": steps, "max_epochs": -1 if epochs is None else epochs}
    if isinstance(settings.get("val_check_interval"), float) and settings.get("check_val_every_n_epoch") is None:
        lengths["check_val_every_n_epoch"] = 1  # a share is one of an epoch
    on_cpu = settings.get("accelerator") == "cpu" or not torch.cuda.is_available()
    if settings.get("devices") == [0] and on_cpu:
        lengths["devices"] = 1  # Lightning counts CPUs, and does not number them
    return lengths


def _profiler(asked: Any, folder: Path) -> Any:
    """One that writes its report into the run's folder."""
    kind = PROFILERS.get(asked) if isinstance(asked, str) else None
    return asked if kind is None else kind(dirpath=folder, filename="profile")


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _in_one_line(error: Exception, settings: dict[str, Any]) -> ValueError:
    """What Lightning refuses, by the key that says it."""
    accelerator, devices, message = settings.get("accelerator", "auto"), settings.get("devices"), str(error)
    if re.search("You requested|machine only has|`devices`|devices=", message):
        return ValueError(f"trainer.devices={devices}: {' '.join(message.split())}; ask for devices that are there")
    if accelerator not in ("auto", "cpu") and re.search("accelerator|backend", message):
        advice = "use trainer.accelerator=cpu, or auto for the GPU where there is one"
        return ValueError(f"trainer.accelerator={accelerator}: {message}; {advice}")
    return ValueError(f"trainer: {message}")
