"""What commands print and write down of how they measured and drew."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ldmlab import __version__
from ldmlab.configs.build import resolved
from ldmlab.metrics.manifest import GUIDANCE_CONVENTIONS
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision


def sampling_record(cfg: DictConfig) -> dict[str, Any]:
    """The fields of a manifest that say how pictures were drawn."""
    return {
        "sampler": cfg.sampler._target_.rpartition(".")[2],
        "steps": cfg.sampler.steps,
        "eta": cfg.sampler.get("eta"),
        "spacing": cfg.sampler.get("spacing"),
        "guidance_scale": cfg.guidance.get("scale", 1.0),
        "guidance_convention": GUIDANCE_CONVENTIONS.get(cfg.guidance.get("convention", "scale")),
        "sampler_config": resolved(cfg.sampler),
        "guidance_config": resolved(cfg.guidance),
    }


def drawing_record(cfg: DictConfig, loaded: Loaded, precision: Precision) -> dict[str, Any]:
    """What all pictures of a run say of how they were drawn; of files the names and digests, no folders.

    Of fp32 nothing is said, as in pictures from before there was anything else.
    """
    return {
        "seed": cfg.seed,
        "model": loaded.path.name,
        "model_sha256": loaded.checkpoint.sha256,
        "ema": loaded.checkpoint.ema,
        "sampler": resolved(cfg.sampler),
        "guidance": {key: portable(value) for key, value in resolved(cfg.guidance).items()},
        "device": precision.device.type,
        **({} if precision.name == "fp32" else {"precision": precision.name}),
        "ldmlab": __version__,
    }


def portable(value: Any) -> Any:
    """A setting that names a file, by the file's name and digest."""
    if not isinstance(value, str) or not Path(value).is_file():
        return value
    with open(value, "rb") as file:
        return {"file": Path(value).name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def peak_memory(device: torch.device) -> str:
    """The most memory that this process has held, on its GPU or, without one, in all."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on the GPU"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def print_table(metrics: Mapping[str, float | None], title: str) -> None:
    """Figures by name; None stands for an infinite one."""
    table = Table("figure", "value", title=title)
    for name, value in metrics.items():
        table.add_row(name, "infinite" if value is None else f"{value:.4g}")
    Console(width=100).print(table)
