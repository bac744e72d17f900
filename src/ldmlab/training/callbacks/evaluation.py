"""Figures of evaluation over training: what the averaged weights make of held-out samples, measured now and then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch

from ldmlab.conditioners.image import ImageConditioner
from ldmlab.data.training_data import TrainingData
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.fitting import fit_guidance
from ldmlab.evaluation.evaluate import task_of
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.reconstructions import measure_reconstructions
from ldmlab.evaluation.restorations import measure_restorations
from ldmlab.evaluation.samples import measure_samples
from ldmlab.evaluation.shares import Shares
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Metric
from ldmlab.metrics.measured import Measured
from ldmlab.metrics.scenes.confusion import PREFIX, confusions
from ldmlab.pictures.confusion import confusion_sheet
from ldmlab.pictures.png import write_png
from ldmlab.ranks import Ranks
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.noise import picture_seeds
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.modes import evaluating
from ldmlab.training.callbacks.show import log_row, show
from ldmlab.training.callbacks.throughput import clocks_stopped
from ldmlab.training.dev_run import is_dev_run
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.precision import numbers_of

COUNTS = ("n", "n_real", "n_fake")
"""Figures that say how many were measured, which is the same every time."""


@beside_training("the measurement of pictures", together=True)
class Evaluation(L.Callback):
    """Logs the figures of a few held-out samples as `eval/NAME`, every n steps and at the end.

    A diffusion model draws what the samples' conditions say, or restores them; an autoencoder reconstructs them. Noise
    is the same every time, and ranks share the samples. What the verifier confuses is shown as a picture, in
    `pictures/step-NNNNNNN-confusion.png` too, and as a table where a logger has some. Training's random numbers are not
    touched, and its clock stands still. Figures of few samples are biased (the Frechet distance above all), so they are
    to be compared with each other.

    Args:
        every_n_steps: how often.
        extractor: the network whose features are compared.
        metrics: by the task of a model ("samples", "restorations", "reconstructions") and name, see
            `ldmlab.evaluation.evaluate`.
        n: samples.
        sampler: of a diffusion model; DDIM if not given.
        guidance: of a diffusion model; none if not given.
        seed: sample i draws its noise from (seed, i).
        batch_size: samples at once; ranks share them by so many.
    """

    def __init__(
        self,
        every_n_steps: int,
        extractor: FeatureExtractor,
        metrics: Mapping[str, Mapping[str, Metric]],
        n: int = 64,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        seed: int = 0,
        batch_size: int = 16,
    ) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps={every_n_steps}: give 1 or more")
        if n < 2:
            raise ValueError(f"n={n}: too few to measure; give 2 or more")
        self.every_n_steps = every_n_steps
        self.extractor = extractor
        self.metrics = metrics
        self.n = n
        self.sampler = sampler or DDIM()
        self.guidance = guidance or NoGuidance()
        self.seed = seed
        self.batch_size = batch_size
        self._heldout: HeldOut | None = None
        self._last = 0

    def prepare(self, trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule) -> None:
        """What cannot be measured is refused now, not at the first measurement.

        Raises:
            ValueError: there are no held-out samples, or the sampler or the guidance does not go with the model.
        """
        if not isinstance(data, TrainingData) or not data.has_heldout:
            raise ValueError("callbacks.evaluation: there are no held-out samples to measure; take it away")
        if isinstance(module, LatentDiffusionTraining):
            self.sampler.check(module.model.denoiser)
            self.guidance = fit_guidance(self.guidance, module.model)
        elif not isinstance(module, AutoencoderTraining):
            raise ValueError(f"callbacks.evaluation: measures no {type(module).__name__}; take it away")
        samples = data.heldout_set
        self._heldout = HeldOut(samples, min(self.n, len(samples)), self.seed, self.batch_size)

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """For a Trainer of the user's own."""
        if self._heldout is None:
            self.prepare(trainer, module, trainer.datamodule)  # type: ignore[attr-defined]

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Measure when it is time and at the end, once a step."""
        step = trainer.global_step
        if step == self._last or (step % self.every_n_steps and step != trainer.max_steps):
            return
        self._last = step
        with clocks_stopped(trainer, module), evaluating(module), torch.random.fork_rng(devices=[]):
            found = self._measure(trainer, module)
            self._log(trainer, module, found.figures)
            if trainer.is_global_zero and not is_dev_run(trainer):
                self._show(trainer, found.figures)

    def _measure(self, trainer: L.Trainer, module: L.LightningModule) -> Measured:
        heldout, precision = self._heldout, numbers_of(trainer)
        assert heldout is not None
        extractor = self.extractor.to(module.device)
        shares = Shares(Ranks(trainer.global_rank, trainer.world_size, trainer.local_rank))
        if isinstance(module, AutoencoderTraining):
            metrics = self._fresh(task_of(module.autoencoder))
            return measure_reconstructions(module.autoencoder, heldout, precision, metrics, extractor, shares)
        assert isinstance(module, LatentDiffusionTraining)
        model, metrics = module.model, self._fresh(task_of(module.model))
        drawing = Drawing(self.sampler, self.guidance, picture_seeds(self.seed, heldout.n), precision=precision)
        with module.ema.swapped():
            if isinstance(model.conditioner, ImageConditioner):
                return measure_restorations(model, model.conditioner, heldout, drawing, metrics, extractor, shares)
            return measure_samples(model, heldout, heldout, drawing, metrics, extractor, shares=shares)

    def _fresh(self, task: str) -> dict[str, Metric]:
        """The metrics of a task, which have seen nothing yet."""
        metrics = dict(self.metrics.get(task, {}))
        for metric in metrics.values():
            metric.reset()
        return metrics

    def _log(self, trainer: L.Trainer, module: L.LightningModule, figures: Mapping[str, float]) -> None:
        """For this step alone, which need not be one of those that have a row."""
        curves = {
            f"eval/{name}": value
            for name, value in figures.items()
            if name not in COUNTS and not name.startswith(f"{PREFIX}/")
        }
        log_row(trainer, curves, trainer.global_step)
        for name, value in curves.items():
            module.log(name, torch.tensor(value), logger=False, batch_size=1)  # for figure=

    def _show(self, trainer: L.Trainer, figures: Mapping[str, float]) -> None:
        found, step = confusions(figures), trainer.global_step
        if not found:
            return
        sheet = confusion_sheet(found)
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"step-{step:07d}-{PREFIX}.png", sheet)
        show(trainer, PREFIX, sheet, step)
        for logger in trainer.loggers:
            if chart := getattr(logger, "log_confusion", None):
                for name, matrix in found.items():
                    chart(f"{PREFIX}/{name}", matrix, step - 1)
