"""A run of training: from its parts to `model.safetensors`, whether it begins or goes on, ends early or is stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from ldmlab.compiling import compile_networks, worth_compiling
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.training_data import TrainingData
from ldmlab.models.checkpoints import CHECKPOINT
from ldmlab.models.shipped import SHIPPED_MODEL
from ldmlab.precision import Precision, lay_out
from ldmlab.ranks import Ranks
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.base import Training
from ldmlab.training.caching import cache_latents, require_what_can_be_kept
from ldmlab.training.callbacks.evaluation import Evaluation
from ldmlab.training.callbacks.going_on import finish
from ldmlab.training.callbacks.grids import PictureGrid
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.watching import require_measured
from ldmlab.training.csv_log import last_value
from ldmlab.training.dev_run import is_dev_run, run_length
from ldmlab.training.ending import last_figure, tell_of_an_early_end, tell_of_the_best
from ldmlab.training.export import Export
from ldmlab.training.failures import NonFiniteError
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.precision import numbers_of
from ldmlab.training.records import begin_record, end_record
from ldmlab.training.resume import Start, last_good, require_same_run
from ldmlab.training.signals import STOP, Stopped
from ldmlab.training.sizes import fit_sizes
from ldmlab.training.strategies.fsdp2 import FSDP2
from ldmlab.training.strategies.processes import join_ranks
from ldmlab.training.strategies.shares import stages
from ldmlab.training.suitability import require_suitable, tell_of_foreign_words
from ldmlab.training.trainer import limit_to_epochs, require_what_training_takes
from ldmlab.training.wandb_run import wandb_finished

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a run is beside its model, its data and its Trainer.

    Attributes:
        export: what it leaves in its folder.
        start: where it goes on; None where it begins.
        compile: the networks; "auto" where that pays, see `ldmlab.compiling.worth_compiling`.
        cache_latents: encode every picture once, before training, where the data are shards. For diffusion models, as
            are the next four.
        latents: how, and what else.
        autoencoder: the name of the checkpoint of the autoencoder.
        min_psnr: in dB, that the autoencoder has to reach on the run's own pictures; 0 allows any.
        words_from: where the prompt model comes from, as KEY=VALUE; None where it is new.
        figure: the logged figure that the run returns.
        settings: all of them, for loggers.
    """

    export: Export
    start: Start | None = None
    compile: bool | Literal["auto"] = "auto"
    cache_latents: bool = True
    latents: LatentOptions = field(default_factory=LatentOptions)
    autoencoder: str = SHIPPED_MODEL
    min_psnr: float = 20.0
    words_from: str | None = None
    figure: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return self.export.folder


def train(module: Training, data: TrainingData, trainer: L.Trainer, run: Run) -> float | None:
    """Train, and export the averaged weights as `model.safetensors` at the end. What is cheap to refuse comes first.

    Args:
        module: what is trained, untrained where the run goes on.
        data: on which; `data.needs` says what every sample must have.
        trainer: from `ldmlab.training.trainer.make_trainer`.
        run: the rest.

    Returns:
        The last value of the run's figure; None where none was logged, as without held-out pictures.

    Raises:
        ValueError: parts that do not go together, a run that could not go on as it was, a loss that is not finite.
        Stopped: a signal ended it, after a checkpoint was written.
    """
    with telling_how_to_go_on(run.folder):
        _refuse(module, data, trainer, run)
        start = None if is_dev_run(trainer) else run.start
        if start is not None and _has_ended(trainer, run, start):
            return last_value(run.folder, run.figure)
        if run.start is not None:
            run.start.let_go()
        _train(module, data, trainer, run, start)
    return last_figure(trainer, run.figure)


def seed_everything(seed: int) -> None:
    """Decide all random numbers of this process, before a model is made."""
    L.seed_everything(seed, verbose=False)


@contextmanager
def telling_how_to_go_on(folder: Path) -> Iterator[None]:
    """Inside the block, a signal that ends a run says which checkpoint it leaves."""
    try:
        yield
    except Stopped as stop:
        raise stop if stop.rest else Stopped(stop.number, last_good(folder, "give the same command again")) from None


def _refuse(module: Training, data: TrainingData, trainer: L.Trainer, run: Run) -> None:
    """What could not be trained, or not as it should."""
    require_what_training_takes(trainer, module)
    data.require_shares(trainer.world_size)
    if not is_dev_run(trainer) and not any(isinstance(each, LastCheckpoint) for each in _callbacks(trainer)):
        raise ValueError("callbacks: without `last` there is no checkpoint to go on from or to export; leave it in")
    require_measured(_callbacks(trainer), run.figure)
    fit_sizes(module, data)
    limit_to_epochs(trainer, data.epoch_batches)
    module.new_schedulers(module.new_optimizers(), run_length(trainer))  # refuses a run that is too short for them
    if isinstance(module, LatentDiffusionTraining) and run.cache_latents:
        require_what_can_be_kept(data, module.model, run.latents)
    if summary := data.summary():
        log.info(summary)
    if run.start is not None:
        require_same_run(module, data, run.start, run_length(trainer))
    elif isinstance(module, LatentDiffusionTraining):  # a run that goes on did so when it began
        module.model.conditioner.prepare(data.captions)
        require_suitable(module.model, data, trainer.strategy.root_device, run.autoencoder, run.min_psnr)
        if run.words_from is not None:
            tell_of_foreign_words(run.words_from, module.model, data)


def _has_ended(trainer: L.Trainer, run: Run, start: Start) -> bool:
    """Whether a checkpoint has all steps, and all that follows the last one is done as well."""
    if not 0 <= trainer.max_steps <= start.steps:
        return False
    state = f"has {start.steps} steps already; raise trainer.max_steps to train on"
    if not start.own:
        raise ValueError(f"ckpt_path={start.path}: {state}")
    if not run.export.is_written(start.path):
        return False
    print(f"{start.path}: {state}; model: {run.export.path}")
    return True


def _train(module: Training, data: TrainingData, trainer: L.Trainer, run: Run, start: Start | None) -> None:
    begun = start.steps if start else 0
    cached = run.cache_latents and isinstance(data, ShardDataModule)
    precision = _ready(module, trainer, run, trainer.max_steps - begun, cached)
    with wandb_finished():
        with precision.arithmetic():
            _fit(trainer, module, data, run, start)
        _leave(trainer, data, run, start)


def _leave(trainer: L.Trainer, data: TrainingData, run: Run, start: Start | None) -> None:
    """What comes after the last step."""
    if replaced := data.replaced():
        log.warning(replaced)
    if is_dev_run(trainer):
        print(f"fast_dev_run: {trainer.global_step} step(s) of training and validation went well; nothing is saved")
    elif trainer.is_global_zero:
        tell_of_the_best(trainer)
        ckpt = start.path if start and start.steps >= trainer.global_step else run.folder / CHECKPOINT
        print(f"model: {run.export.write(ckpt)}")
        end_record(trainer, run.folder)


def _ready(module: Training, trainer: L.Trainer, run: Run, steps: int, cached: bool) -> Precision:
    """Lay out and compile the networks of a run with so many steps left, and say what it computes in."""
    precision = numbers_of(trainer)
    log.info("computes in %s: %s", precision.name, precision.why)
    lay_out(module, precision)
    if worth_compiling(run.compile, trainer.strategy.root_device, steps):
        compile_networks(_called_in_each_step(module, cached, isinstance(trainer.strategy, FSDP2)))
    return precision


def _called_in_each_step(module: Training, cached: bool, shared: bool) -> list[nn.Module]:
    """The networks, or of a backbone whose weights are gathered stage by stage, its stages."""
    if isinstance(module, LatentDiffusionTraining):
        backbone = module.model.denoiser.backbone
        parts = (stages(backbone) if shared else []) or [backbone]
        return parts if cached else [*parts, module.model.autoencoder.encoder]
    return [module.autoencoder] if isinstance(module, AutoencoderTraining) else []


def _fit(trainer: L.Trainer, module: Training, data: TrainingData, run: Run, start: Start | None) -> None:
    try:
        _prepare(trainer, module, data, run, join_ranks(trainer))
        with STOP.deferred():
            trainer.fit(module, data, ckpt_path=None if start is None else start.path)
        if asked := STOP.asked():
            raise asked
        if start is not None and 0 <= trainer.max_steps <= start.steps:
            finish(trainer, module, data)
        tell_of_an_early_end(trainer, start)
    except SystemExit as error:  # Lightning's answer to SIGTERM, where it comes before the first step
        raise STOP.asked() or error from None
    except NonFiniteError as error:
        raise ValueError(f"{error}; {last_good(run.folder, 'begin anew')}") from error
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def _prepare(trainer: L.Trainer, module: Training, data: TrainingData, run: Run, ranks: Ranks) -> None:
    """What comes before the first step: what takes long comes last."""
    for callback in _callbacks(trainer):
        if isinstance(callback, PictureGrid | Evaluation):
            callback.prepare(trainer, module, data)
    begin_record(trainer, run.folder, run.settings)
    caches = run.cache_latents and not is_dev_run(trainer)
    if isinstance(module, LatentDiffusionTraining) and isinstance(data, ShardDataModule) and caches:
        cache_latents(data, module.model, run.latents, run.folder, trainer.strategy.root_device, ranks)
    data.write_problems(run.folder, ranks)


def _callbacks(trainer: L.Trainer) -> list[L.Callback]:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks
