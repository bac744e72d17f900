"""`ldmlab export`: write a model as a folder that diffusers loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.export import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Write the folder, and say where it is."""
    from ldmlab.interop.export_folder import export_folder

    folder = Path(cfg.output)
    export_folder(cfg.ckpt, folder, cfg.ema, cfg.half, cfg.adapter_ckpt, cfg.adapter_scale)
    print(f"folder for diffusers: {folder}")


COMMAND = Command(
    **vars(CHECKS),
    summary="write a model as a folder that diffusers loads",
    synopsis="ldmlab export ckpt=PATH output=FOLDER [KEY=VALUE ...]",
    description=(
        "UNets that read CLIP's text become a StableDiffusionPipeline, class-conditional DiTs a DiTPipeline, "
        "autoencoders an AutoencoderKL or a VQModel. A model for which diffusers has no class is refused with the "
        "reason.",
    ),
    examples=(("ldmlab export ckpt=sd.safetensors output=sd half=true", "for StableDiffusionPipeline"),),
    run=run,
)
