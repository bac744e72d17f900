"""The pictures that a run draws now and then, from settings alone: samples, restorations, or reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L

from ldmlab.conditioners.image import ImageConditioner, complete_each
from ldmlab.data.shard_dataset import ImageBatch, collate
from ldmlab.data.training_data import TrainingData
from ldmlab.drawing.conditions import read_of
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.fitting import fit_guidance
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.noise import picture_seeds
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.attention import attention_drawer
from ldmlab.training.callbacks.grids import PictureGrid, reconstruction_drawer, sample_drawer, task_drawer
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.precision import numbers_of

RECONSTRUCTIONS = 8
SAMPLES = 4


class Pictures(PictureGrid):
    """A grid of pictures in the folder `pictures` of the run, every n steps and at the end.

    A diffusion model draws prompts, or what the first held-out samples say; one that reads pictures restores those; an
    autoencoder reconstructs them.

    Args:
        every_n_steps: how often.
        prompts: what a diffusion model draws; None takes the first held-out samples'.
        attention: also show where the pictures attend to each word.
        sampler: of a diffusion model; DDIM if not given.
        guidance: of a diffusion model; none if not given.
        seed: picture i draws its noise from (seed, i).
    """

    def __init__(
        self,
        every_n_steps: int,
        prompts: Sequence[str] | None = None,
        attention: bool = False,
        sampler: Sampler | None = None,
        guidance: Guidance | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_steps=every_n_steps)
        self.prompts = prompts
        self.attention = attention
        self.sampler = sampler or DDIM()
        self.guidance = guidance or NoGuidance()
        self.seed = seed

    def prepare(self, trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule) -> None:
        """What cannot be drawn is refused now, not at the first grid.

        Raises:
            ValueError: prompts that the model cannot draw, or maps of words where there are none; or data and training
                that are none of ldmlab's.
        """
        if not isinstance(data, TrainingData):
            raise ValueError(
                f"callbacks.grids: shows samples of shards, and these are a {type(data).__name__}'s; take it away by "
                "~callbacks.grids"
            )
        self.folder = Path(trainer.default_root_dir) / "pictures"
        if isinstance(module, AutoencoderTraining):
            self.draw = reconstruction_drawer(module, lambda: _first_samples(data, RECONSTRUCTIONS)["images"])
        elif not isinstance(module, LatentDiffusionTraining):
            raise ValueError(f"callbacks.grids: draws nothing for a {type(module).__name__}; take it away")
        elif isinstance(module.model.conditioner, ImageConditioner):
            self._restore(module, module.model.conditioner, data, numbers_of(trainer))
        else:
            self._sample(module, data, numbers_of(trainer))

    def _restore(
        self,
        module: LatentDiffusionTraining,
        conditioner: ImageConditioner,
        data: TrainingData,
        precision: Precision,
    ) -> None:
        """Held-out pictures."""
        if self.attention:
            raise ValueError("grid_attention: this model draws from pictures; leave it at false")
        if self.prompts is not None:
            raise ValueError("grid_prompts: this model draws from pictures, the first held-out ones; leave it at null")
        samples = _first_samples(data, SAMPLES)
        drawing = self._drawing(module.model, len(samples["images"]), precision)
        batch = complete_each(conditioner, samples, drawing.seeds)
        drawing.check(module.model, batch)
        self.draw, self.columns = task_drawer(module, conditioner, drawing, batch), 3

    def _sample(self, module: LatentDiffusionTraining, data: TrainingData, precision: Precision) -> None:
        model = module.model
        if self.prompts is None:
            batch: Mapping[str, Any] = _first_samples(data, SAMPLES)
            titles = _titles(batch)
        else:
            titles = list(self.prompts)
            batch = model.conditioner.batch(titles)
        drawing = self._drawing(model, len(titles), precision)
        condition = read_of(model, drawing.guidance, batch)
        drawing.check(model, condition)
        self.draw = sample_drawer(module, drawing, condition, titles)
        self.maps = attention_drawer(module, drawing, condition, titles) if self.attention else None

    def _drawing(self, model: LatentDiffusion, count: int, precision: Precision) -> Drawing:
        self.sampler.check(model.denoiser)
        guidance = fit_guidance(self.guidance, model)
        return Drawing(self.sampler, guidance, picture_seeds(self.seed, count), precision=precision)


def _titles(batch: Mapping[str, Any]) -> list[str]:
    """What stands over data's samples."""
    return batch.get("captions") or [f"class {label}" for label in batch.get("labels", ())] or batch["keys"]


def _first_samples(data: TrainingData, count: int) -> ImageBatch:
    source = data.heldout_set if data.has_heldout else data.train_set
    return collate([source[i] for i in range(min(count, len(source)))])
