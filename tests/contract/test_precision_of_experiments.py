"""Every experiment with a fused optimizer takes a step in bf16, with its own clipping, as it does on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.cli import catalogue
from ldmlab.cli.build import plain
from ldmlab.cli.compose import hydra_at_conf
from ldmlab.cli.trainer import make_trainer
from ldmlab.models.build import DIFFUSION_GROUPS, build_latent_diffusion

SMALL = {
    "backbone": {"width": 32, "depth": 1, "heads": 2, "model_channels": 32},
    "conditioner": {"width": 32, "depth": 1, "heads": 2, "factor": 8},
    "trainer": {"precision": "bf16-mixed", "accelerator": "cpu", "max_steps": 1, "limit_val_batches": 0},
    "training": {"warmup_steps": 0},
}


STUDIES = [
    name
    for name in catalogue.options("experiment")
    if catalogue.command_of(name) == "train" and not name.startswith("published/")
]


@pytest.mark.parametrize("experiment", STUDIES)
def test_a_fused_experiment_trains_in_bf16(experiment: str, tmp_path: Path) -> None:
    with hydra_at_conf("train"):
        cfg = compose("train", [f"experiment={experiment}"])
    if not OmegaConf.select(cfg, "optimizer.fused"):
        assert cfg.model.name == "autoencoder"
        return
    cfg.output_dir = str(tmp_path)
    for section, values in SMALL.items():
        for key, value in values.items():
            if cfg[section].get(key) is not None:
                cfg[section][key] = value
    torch.manual_seed(0)
    autoencoder = AutoencoderKL(channels=8, multipliers=(1,), residual_blocks=1, norm_groups=4, patch=4)
    config = {group: plain(cfg[group]) for group in DIFFUSION_GROUPS} | {"image_size": 32}
    model = build_latent_diffusion(config, autoencoder)
    model.conditioner.prepare(["a red star"])
    module = instantiate(cfg.training, _partial_=True)(
        model=model, optimizer=instantiate(cfg.optimizer), timestep_sampling=instantiate(cfg.timestep_sampling)
    )
    before = {name: value.clone() for name, value in model.denoiser.named_parameters()}
    batch = {"images": torch.rand(2, 3, 32, 32) * 2 - 1, "captions": ["a red star"] * 2, "labels": torch.tensor([0, 1])}
    trainer = make_trainer(cfg)
    assert trainer.precision == "bf16-mixed"
    assert trainer.gradient_clip_val
    trainer.fit(module, DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    after = dict(model.denoiser.named_parameters())
    assert all(bool(torch.isfinite(value).all()) for value in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)
