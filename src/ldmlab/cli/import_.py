"""`ldmlab import`: a public checkpoint as a model of ours. The module has a `_` because `import` is a keyword."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ldmlab.configs.build import resolved
from ldmlab.interop.family import ImportHints
from ldmlab.interop.import_file import import_file
from ldmlab.interop.process_sections import option

HINTS = ("heads", "head_width", "latent_scale", "quick_gelu", "image_size", "zero_terminal_snr")
"""Keys that are hints as they stand."""


def run(cfg: DictConfig) -> None:
    """Convert, write one file, and say what was found."""
    output = Path(cfg.output) if cfg.output else None
    lent = {"autoencoder": cfg.autoencoder_ckpt, "conditioner": cfg.conditioner_ckpt}
    imported, output = import_file(Path(cfg.path), output, lent, _hints(cfg), cfg.ema, cfg.half)
    for line in imported.summary:
        print(line)
    print(f"{imported.config['model']}: {output}")


def _hints(cfg: DictConfig) -> ImportHints:
    chosen = cfg.get("parameterization")
    return ImportHints(
        **{name: cfg[name] for name in HINTS},
        tokenizer=None if cfg.tokenizer is None else Path(cfg.tokenizer),
        parameterization=None if chosen is None else option(resolved(chosen)),
    )
