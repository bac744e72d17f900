"""A tiny text-to-image model and autoencoder, with batches of random images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from ldmlab.autoencoders.discriminator import PatchDiscriminator
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.reconstruction import ReconstructionLoss
from ldmlab.backbones.dit import DiT
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import cosine
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

Batch = dict[str, Any]
ADAM = partial(torch.optim.Adam, lr=1e-2)


def make_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(channels=8, multipliers=(1,), residual_blocks=1, norm_groups=4, patch=4)


@pytest.fixture
def autoencoder_training() -> Callable[..., AutoencoderTraining]:
    """(discriminator_start, optimizer, other arguments) -> module; without a start there is no discriminator."""

    def make(discriminator_start: int | None = None, optimizer: Any = ADAM, **settings: Any) -> AutoencoderTraining:
        torch.manual_seed(0)
        autoencoder = make_autoencoder()
        discriminator = None if discriminator_start is None else PatchDiscriminator(channels=4, layers=1)
        return AutoencoderTraining(
            autoencoder,
            ReconstructionLoss("l2"),
            discriminator,
            optimizer,
            discriminator_start=discriminator_start or 0,
            model_config={"model": "autoencoder", "width": 8},
            **settings,
        )

    return make


@pytest.fixture
def diffusion_training() -> Callable[..., LatentDiffusionTraining]:
    """(conditioner, other arguments) -> module."""

    def make(conditioner: Conditioner | None = None, **settings: Any) -> LatentDiffusionTraining:
        torch.manual_seed(0)
        if conditioner is None:
            conditioner = TextTransformer(vocabulary=300, length=32, width=16, depth=1, heads=2)
            conditioner.prepare(["a red star", "a blue circle"])
        autoencoder = make_autoencoder()
        conditioner.place(autoencoder, 4)
        widths: dict[str, Any] = {"context_width": conditioner.context_width, "vector_width": conditioner.vector_width}
        widths["concat_channels"] = conditioner.concat_channels
        backbone = DiT(channels=4, grid=4, patch=2, width=16, depth=1, heads=2, **widths)
        model = LatentDiffusion(autoencoder, Denoiser(backbone, cosine(), Epsilon()), conditioner, 4)
        return LatentDiffusionTraining(model, ADAM, model_config={"model": "ours"}, **settings)

    return make


@pytest.fixture
def batches() -> Callable[..., list[Batch]]:
    """(count) -> batches of 8 images of 16 px with captions."""

    def make(count: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(count, 8, 3, 16, 16, generator=generator) * 2 - 1
        return [{"images": part, "captions": ["a red star", "a blue circle"] * 4} for part in images]

    return make


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., L.Trainer]:
    """(module, batches, callbacks, validation batches, trainer's settings) -> the trainer, after as many steps."""

    def run(
        module: L.LightningModule,
        train: Sequence[Batch],
        callbacks: Sequence[L.Callback] = (),
        validation: Sequence[Batch] = (),
        **settings: Any,
    ) -> L.Trainer:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = L.Trainer(
            accelerator="cpu",
            default_root_dir=tmp_path,
            num_sanity_val_steps=0,
            callbacks=list(callbacks),
            **quiet,
            **{"max_epochs": 1, "enable_checkpointing": False, **settings},
        )
        loaders = [DataLoader(part, batch_size=None) for part in (train, validation) if part]  # type: ignore[arg-type]
        trainer.fit(module, *loaders)
        return trainer

    return run
