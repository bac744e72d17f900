"""Figures of evaluation over training: what the averaged weights make of held-out samples, measured now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import lightning as L
import torch

from ldmlab.data.training_data import TrainingData
from ldmlab.drawing.fitting import fit_guidance
from ldmlab.evaluation.class_requests import Conditions, class_requests
from ldmlab.evaluation.evaluate import Task, task_of
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.repeated import Model, RepeatedEvaluation
from ldmlab.evaluation.shares import pass_on
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Metric
from ldmlab.metrics.measured import Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.ranks import Ranks
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.curves import curves_of, in_a_line
from ldmlab.training.callbacks.modes import evaluating, randomness_kept
from ldmlab.training.callbacks.show import log_row, show_confusion
from ldmlab.training.callbacks.throughput import clocks_stopped
from ldmlab.training.dev_run import is_dev_run
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.precision import numbers_of

log = logging.getLogger(__name__)


@beside_training("the measurement of pictures", together=True)
class Evaluation(L.Callback):
    """Logs the figures of a few held-out samples as `eval/NAME`, every n steps and at the end.

    Beside it stands `eval/NAME_error`, the standard error, where a metric tells one. A diffusion model draws what the
    samples' conditions say, or restores them; an autoencoder reconstructs them. Noise is the same every time, ranks
    share the samples, and held-out pictures pass a network once in a run. What the verifier confuses is shown as a
    picture, in `pictures/step-NNNNNNN-confusion.png` too, and as a table where a logger has some. Training's random
    numbers are not touched, its clock stands still, and the memory of its device is given back. Figures of few samples
    are biased (the Frechet distance above all), so they are to be compared with each other.

    Args:
        every_n_steps: how often.
        extractor: the network of metrics that have none of their own.
        metrics: by name; or by the task of a model ("samples", "restorations", "reconstructions"), which alone takes
            them, and name. See `ldmlab.evaluation.evaluate`.
        n: samples.
        sampler: of a diffusion model; DDIM if not given.
        guidance: of a diffusion model; none if not given.
        seed: sample i draws its noise from (seed, i).
        batch_size: samples at once; ranks share them by so many.
        conditions: what a diffusion model is asked for: "heldout", what held-out samples say; or "balanced" or "drawn",
            n classes, see `ldmlab.evaluation.class_requests`.

    Attributes:
        measured_at: the step at which there were figures last; 0 before.
        between: called before each batch, as by who would end a run that is asked to stop.
    """

    def __init__(
        self,
        every_n_steps: int,
        extractor: FeatureExtractor,
        metrics: Mapping[str, Metric | Mapping[str, Metric]],
        n: int = 64,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        seed: int = 0,
        batch_size: int = 16,
        conditions: Conditions = "heldout",
    ) -> None:
        for name, value, least in (("every_n_steps", every_n_steps, 1), ("n", n, 2), ("batch_size", batch_size, 1)):
            if value < least:
                raise ValueError(f"{name}={value}: give {least} or more")
        self.every_n_steps = every_n_steps
        self.extractor = extractor
        self.metrics = metrics
        self.n = n
        self.sampler = sampler or DDIM()
        self.guidance = guidance or NoGuidance()
        self.seed = seed
        self.batch_size = batch_size
        self.conditions = conditions
        self.measured_at = 0
        self.between: Callable[[], None] = pass_on
        self._evaluation: RepeatedEvaluation | None = None
        self._last = 0
        self._seconds = 0.0
        self._began = time.perf_counter()

    def prepare(self, trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule) -> None:
        """What cannot be measured is refused now, not at the first measurement.

        Raises:
            ValueError: there are no held-out samples, the sampler or the guidance does not go with the model, or a
                metric cannot be measured.
        """
        try:
            evaluation = self._made_for(module, data)
            evaluation.require(_model_of(module), trainer.world_size)
        except ValueError as error:
            raise ValueError(f"callbacks.evaluation: {error}") from error
        self._evaluation = evaluation

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """For a Trainer of the user's own."""
        if self._evaluation is None:
            self.prepare(trainer, module, trainer.datamodule)  # type: ignore[attr-defined]
        self._began = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: object) -> None:
        """Measure when it is time and at the end, once a step."""
        step = trainer.global_step
        if not self.is_due(trainer):
            return
        self._last, begin = step, time.perf_counter()
        with clocks_stopped(trainer, module), evaluating(module), randomness_kept(module.device):
            found = self._measure(trainer, module)
            curves = curves_of(found)
            log_row(trainer, curves, step)
            trainer.callback_metrics.update(
                {name: torch.tensor(value, dtype=torch.float64) for name, value in curves.items()}
            )
            self.measured_at = step
            if trainer.is_global_zero and not is_dev_run(trainer):
                show_confusion(trainer, found.figures, Path(trainer.default_root_dir) / "pictures", step)
        self._tell(step, found, time.perf_counter() - begin)

    def is_due(self, trainer: L.Trainer) -> bool:
        """Whether this step is to be measured, and has not been."""
        step = trainer.global_step
        return step != self._last and (step % self.every_n_steps == 0 or step == trainer.max_steps)

    def _made_for(self, module: L.LightningModule, data: L.LightningDataModule) -> RepeatedEvaluation:
        model, requests = _model_of(module), None
        heldout = self._heldout(data)
        if isinstance(model, LatentDiffusion):
            self.sampler.check(model.denoiser)
            self.guidance = fit_guidance(self.guidance, model)
            requests = class_requests(model, self.conditions, self.n, self.seed, self.batch_size)
        elif self.conditions != "heldout":
            raise ValueError(f"conditions={self.conditions}: an autoencoder is asked for nothing; use heldout")
        metrics = _of_task(self.metrics, task_of(model))
        return RepeatedEvaluation(heldout, metrics, self.extractor, self.sampler, self.guidance, requests)

    def _heldout(self, data: L.LightningDataModule) -> HeldOut:
        if not isinstance(data, TrainingData) or not data.has_heldout:
            raise ValueError("there are no held-out samples to measure; take it away")
        samples = data.heldout_set
        if len(samples) < self.n:
            log.info("callbacks.evaluation.n=%d: there are %d held-out samples to measure by", self.n, len(samples))
        return HeldOut(samples, min(self.n, len(samples)), self.seed, self.batch_size)

    def _measure(self, trainer: L.Trainer, module: L.LightningModule) -> Measured:
        assert self._evaluation is not None
        ranks = Ranks(trainer.global_rank, trainer.world_size, trainer.local_rank)
        with module.ema.swapped() if isinstance(module, LatentDiffusionTraining) else nullcontext():
            return self._evaluation.measure(_model_of(module), numbers_of(trainer), ranks, self.between)

    def _tell(self, step: int, found: Measured, seconds: float) -> None:
        """Figures, what it costs to have them, and, the first time, what to know of them."""
        for note in () if self._seconds else found.notes:
            log.info(note)
        self._seconds += seconds
        share = self._seconds / max(time.perf_counter() - self._began, seconds)
        log.info("step %d: %s; took %.3g s, %.2g %% of the time so far", step, in_a_line(found), seconds, 100 * share)


def has_measured(trainer: L.Trainer) -> bool:
    """Whether there are figures of this very step."""
    return any(each.measured_at == trainer.global_step for each in evaluations(trainer))


def measurement_is_due(trainer: L.Trainer) -> bool:
    """Whether there will be figures of this very step."""
    return any(each.is_due(trainer) for each in evaluations(trainer))


def evaluations(trainer: L.Trainer) -> list[Evaluation]:
    """The callbacks of a run that measure."""
    callbacks: list[L.Callback] = getattr(trainer, "callbacks", [])
    return [each for each in callbacks if isinstance(each, Evaluation)]


def _model_of(module: L.LightningModule) -> Model:
    if isinstance(module, LatentDiffusionTraining):
        return module.model
    if isinstance(module, AutoencoderTraining):
        return module.autoencoder
    raise ValueError(f"measures no {type(module).__name__}; take it away")


def _of_task(metrics: Mapping[str, Metric | Mapping[str, Metric]], task: Task) -> dict[str, Metric]:
    """Those that any model takes, and those that models of a task do."""
    own = metrics.get(task, {})
    of_all = {name: each for name, each in metrics.items() if isinstance(each, Metric)}
    return {**(own if isinstance(own, Mapping) else {}), **of_all}
