"""`ldmlab train`: train an autoencoder or a latent diffusion model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.train import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> float | None:
    """Train, and export the averaged weights; return the last value of the run's `figure`."""
    from ldmlab.configs.training import train_from

    return train_from(cfg)


COMMAND = Command(
    **vars(CHECKS),
    summary="train an autoencoder or a latent diffusion model",
    synopsis="ldmlab train [experiment=STUDY/VARIANT] [model=NAME] [KEY=VALUE ...]",
    description=(
        "Trains on shards that `ldmlab data` wrote, on the GPU where there is one. An experiment is a yaml that "
        "sets many keys at once; whatever else is on the command line overrides it.",
        "The run's folder holds the config it ran with (.hydra/), checkpoints, metrics and sample grids. "
        "ckpt_path=last with the same output_dir continues a run exactly, and ckpt_path=auto begins where there is "
        "none yet. Ctrl-C and SIGTERM finish the step, save and end.",
        "init_ckpt=MODEL begins from whatever fits of the weights of another model.",
    ),
    examples=(
        ("ldmlab train experiment=shapes/dit", "the recorded study, again"),
        ("ldmlab train backbone=unet backbone.dropout=0.1 seed=1", "another backbone, a key of it, a seed"),
        ("ldmlab train output_dir=runs/mine ckpt_path=last", "continue"),
        ("ldmlab train -m seed=0,1,2", "three runs, one after the other"),
        ("ldmlab train experiment=shapes/dit --cfg job", "print the composed config and stop"),
    ),
    resumes=True,
    devices="trainer.devices",
    when_requeued=("ckpt_path=auto",),
    run=run,
)
