"""Overrides that make the experiments of shapes/ tiny: four steps on pictures of 32 px."""

from __future__ import annotations

SIZE = 32
TRAINING = (
    f"data.image_size={SIZE}",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=1",
    "scheduler.warmup_steps=2",
    "checkpoint_every=2",
    "grid_every=4",
)
AUTOENCODER = (
    "experiment=shapes/autoencoder",
    *TRAINING,
    "autoencoder.channels=8",
    "autoencoder.norm_groups=4",
    "autoencoder.patch=4",
    "autoencoder.multipliers=[1,1]",
)
VQ = (
    "experiment=autoencoder_regularization/vq",
    *AUTOENCODER[1:],
    "autoencoder.codes=16",
    "autoencoder.restart_after=2",
)
DIFFUSION = (
    *TRAINING,
    "conditioner.length=64",
    "conditioner.width=32",
    "conditioner.depth=1",
    "conditioner.heads=2",
    "grid_prompts=[a red star]",
    "min_psnr=0",
    "sampler.steps=2",
)
DIT = ("experiment=shapes/dit", *DIFFUSION, "backbone.width=32", "backbone.depth=1", "backbone.heads=2")
UNET = (
    "experiment=shapes/unet",
    "conditioner_ckpt=null",
    *DIFFUSION,
    "backbone.model_channels=32",
    "backbone.residual_blocks=1",
)
