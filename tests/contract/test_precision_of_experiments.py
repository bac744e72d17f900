"""Whatever the configs allow of precision, fused optimizers, clipping and accumulation takes its steps.

bf16-mixed on a CPU raises what it raises on a GPU, so this needs none.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import yaml
from hydra import compose
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from ldmlab.autoencoders.discriminator import PatchDiscriminator
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.reconstruction import ReconstructionLoss
from ldmlab.backbones.dit import DiT
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.configs import catalogue
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.configs.training import build_optimizer, build_trainer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.paths import experiments_dir
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

PRECISIONS = [
    *({"precision": name} for name in ("auto", "fp32", "bf16")),
    *({"trainer.precision": name} for name in ("16-mixed", "bf16-true")),
]
"""All of a CPU; tf32 is Lightning's 32-true as fp32 is."""
OF_A_GPU = [*PRECISIONS, {"precision": "fp16"}, {"precision": "tf32"}]
ORDINARY = [pytest.param({"precision": "auto"}, marks=pytest.mark.slow), *PRECISIONS[1:]]
"""On a CPU `auto` is fp32."""
CLIPPING = [(None, None), (0.1, "norm"), (0.1, "value")]


@pytest.fixture(scope="module")
def config() -> DictConfig:
    with hydra_at_conf("train"):
        cfg = compose("train", ["optimizer=adamw", "model=latent_diffusion", "callbacks=[]", "logger=[]"])
    cfg.trainer.update(accelerator="cpu", max_steps=2, limit_val_batches=0)
    return cfg


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(channels=4, multipliers=(1,), residual_blocks=1, norm_groups=2, patch=4)


def diffusion(cfg: DictConfig) -> LatentDiffusionTraining:
    conditioner = ClassLabel(2, 8)
    backbone = DiT(channels=4, grid=2, patch=1, width=8, depth=1, heads=2, vector_width=8)
    model = LatentDiffusion(autoencoder(), Denoiser(backbone, cosine(), Velocity()), conditioner, 2)
    return LatentDiffusionTraining(model, build_optimizer(cfg.optimizer))


def steps(cfg: DictConfig, module: Any, batches: int) -> None:
    """Two steps of the optimizer, which leave finite weights."""
    before = [weight.detach().cpu().clone() for weight in module.parameters()]
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    data = [{"images": images, "labels": torch.tensor([0, 1])}] * batches
    trainer = build_trainer(cfg)
    trainer.fit(module, DataLoader(data, batch_size=None))  # type: ignore[arg-type]
    assert trainer.global_step == 2
    assert all(bool(torch.isfinite(weight).all()) for weight in module.parameters())
    moved = any(not torch.equal(a, b.cpu().to(a)) for a, b in zip(before, module.parameters(), strict=True))
    assert moved or trainer.precision == "16-mixed"  # which may skip its first steps, until its scale fits


def with_keys(config: DictConfig, keys: dict[str, Any]) -> DictConfig:
    cfg = config.copy()
    for path, value in keys.items():
        section, _, name = path.rpartition(".")
        (cfg[section] if section else cfg)[name] = value
    return cfg


@pytest.mark.parametrize("precision", ORDINARY, ids=str)
def test_every_combination_trains_a_diffusion_model(config: DictConfig, precision: dict[str, str]) -> None:
    torch.manual_seed(0)
    for fused, (limit, algorithm), accumulated in product((True, False), CLIPPING, (1, 2)):
        keys = {"optimizer.fused": fused, "trainer.gradient_clip_val": limit}
        keys |= {"trainer.gradient_clip_algorithm": algorithm, "trainer.accumulate_grad_batches": accumulated}
        cfg = with_keys(config, {**precision, **keys})
        steps(cfg, diffusion(cfg), batches=2 * accumulated)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", OF_A_GPU, ids=str)
def test_every_combination_trains_on_a_gpu(config: DictConfig, precision: dict[str, str]) -> None:
    on_gpu = with_keys(config, {"trainer.accelerator": "gpu"})
    test_every_combination_trains_a_diffusion_model(on_gpu, precision)
    if "bf16-true" not in precision.values():
        test_every_combination_trains_an_autoencoder(on_gpu, precision)


@pytest.mark.parametrize("precision", ORDINARY[:-1], ids=str)
def test_every_combination_trains_an_autoencoder(config: DictConfig, precision: dict[str, str]) -> None:
    torch.manual_seed(0)
    for fused, limit in product((True, False), (None, 0.1)):
        cfg = with_keys(config, {**precision, "optimizer.fused": fused, "model.name": "autoencoder"})
        discriminator = PatchDiscriminator(channels=4, layers=1)
        factory = build_optimizer(cfg.optimizer)
        settings: dict[str, Any] = {"discriminator_start": 1, "gradient_clip": limit}
        module = AutoencoderTraining(autoencoder(), ReconstructionLoss("l2"), discriminator, factory, **settings)
        steps(cfg, module, batches=2)


def test_experiments_ask_for_nothing_else() -> None:
    """Their own keys are among those that were combined above."""
    known: dict[str, set[Any]] = {
        "precision": {"auto", "fp32", "bf16"},
        "trainer.precision": {"16-mixed", "bf16-true"},
        "trainer.gradient_clip_algorithm": {"norm", "value"},
        "optimizer.fused": {True, False},
    }
    for name in catalogue.options("experiment"):
        own = yaml.safe_load((experiments_dir() / f"{name}.yaml").read_text())
        for path, values in known.items():
            section, _, key = path.rpartition(".")
            found = (own.get(section) or {} if section else own).get(key)
            assert found is None or found in values, f"{name}: {path}={found}"
