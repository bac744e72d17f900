"""What commands that measure print and write down."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ldmlab.cli.build import plain
from ldmlab.metrics.manifest import GUIDANCE_CONVENTIONS


def sampling_record(cfg: DictConfig) -> dict[str, Any]:
    """The fields of a manifest that say how pictures were drawn."""
    return {
        "sampler": cfg.sampler._target_.rpartition(".")[2],
        "steps": cfg.sampler.steps,
        "eta": cfg.sampler.get("eta"),
        "spacing": cfg.sampler.get("spacing"),
        "guidance_scale": cfg.guidance.get("scale", 1.0),
        "guidance_convention": GUIDANCE_CONVENTIONS.get(cfg.guidance.get("convention", "scale")),
        "sampler_config": plain(cfg.sampler),
        "guidance_config": plain(cfg.guidance),
    }


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
