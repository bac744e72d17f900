"""`ldmlab export`: a model of ours as a folder that other libraries load."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ldmlab.interop.export_folder import export_folder


def run(cfg: DictConfig) -> None:
    """Write the folder, and say where it is."""
    export_folder(cfg.ckpt, Path(cfg.output), cfg.ema, cfg.half)
    print(f"folder for diffusers: {Path(cfg.output)}")
