from __future__ import annotations

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ldmlab.configs.training import build_training
from ldmlab.models.build import build_autoencoder, build_latent_diffusion
from ldmlab.training.begin import Beginning
from ldmlab.training.latent_diffusion import LatentDiffusionTraining


def test_a_seed_gives_the_weights_that_it_always_gave(dit: Path) -> None:
    """Those after the autoencoder's initial ones, which were once drawn before the stored ones took their place."""
    cfg = OmegaConf.load(dit / ".hydra/config.yaml")
    assert isinstance(cfg, DictConfig)
    torch.manual_seed(7)
    module = build_training(cfg, instantiate(cfg.data, seed=7), Beginning())
    assert isinstance(module, LatentDiffusionTraining)
    torch.manual_seed(7)
    autoencoder = build_autoencoder(module.model_config["autoencoder"])
    model = build_latent_diffusion(module.model_config, autoencoder)
    for name, weight in model.denoiser.state_dict().items():
        assert torch.equal(module.model.denoiser.state_dict()[name], weight), name
