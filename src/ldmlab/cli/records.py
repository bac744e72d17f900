"""What commands that measure print and write down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def print_table(metrics: Mapping[str, float | None], title: str) -> None:
    """Figures by name; None stands for an infinite one."""
    table = Table("figure", "value", title=title)
    for name, value in metrics.items():
        table.add_row(name, "infinite" if value is None else f"{value:.4g}")
    Console(width=100).print(table)
