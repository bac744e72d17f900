"""`ldmlab import`: bring a public checkpoint into ldmlab's format. The module has a `_`: `import` is a keyword."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command, Words
from ldmlab.configs.commands.import_ import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig

HINTS = ("heads", "head_width", "latent_scale", "quick_gelu", "image_size", "zero_terminal_snr")
"""Keys that are hints as they stand."""


def run(cfg: DictConfig) -> None:
    """Convert, write one file, and say what was found."""
    from ldmlab.configs.build import resolved
    from ldmlab.interop.family import ImportHints
    from ldmlab.interop.import_file import import_file
    from ldmlab.interop.process_sections import option

    chosen = cfg.get("parameterization")
    hints = ImportHints(
        **{name: cfg[name] for name in HINTS},
        tokenizer=None if cfg.tokenizer is None else Path(cfg.tokenizer),
        parameterization=None if chosen is None else option(resolved(chosen)),
    )
    lent = {"autoencoder": cfg.autoencoder_ckpt, "conditioner": cfg.conditioner_ckpt}
    output = Path(cfg.output) if cfg.output else None
    imported, output = import_file(Path(cfg.path), output, lent, hints, cfg.ema, cfg.half)
    for line in imported.summary:
        print(line)
    print(f"{imported.config['model']}: {output}")


COMMAND = Command(
    **vars(CHECKS),
    summary="bring a public checkpoint into ldmlab's format",
    synopsis="ldmlab import PATH [KEY=VALUE ...]",
    description=(
        "Recognises a file or a folder by its keys: Stable Diffusion 1.x, latent diffusion and its autoencoders, "
        "DiT, CLIP's text encoder, in their authors' layouts and in that of diffusers. Every tensor is used, or "
        "named with the reason why not; nothing in a file is run.",
        "A backbone alone needs an autoencoder_ckpt=PATH to become a model, and one that reads "
        "prompts a conditioner_ckpt=PATH. docs/checkpoints.md says what can be imported.",
    ),
    examples=(
        ("ldmlab import v1-5-pruned-emaonly.safetensors output=sd.safetensors", "Stable Diffusion, a single file"),
        ("ldmlab import stable-diffusion-v1-5/ half=true", "the same as a folder of diffusers"),
        (
            "ldmlab import DiT-XL-2-256x256.pt autoencoder_ckpt=sd-vae-ft-ema/",
            "DiT with the autoencoder it works on",
        ),
    ),
    words=Words("path", "checkpoint", several=False),
    run=run,
)
