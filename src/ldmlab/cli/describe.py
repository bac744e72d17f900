"""`ldmlab describe`: what a composed model consists of and what it costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.cli.build import build_autoencoder, build_backbone, build_conditioner, load_autoencoder
from ldmlab.describe import Description, Part, count_values, describe

FIGURES = ("trainable", "frozen", "buffers", "macs", "flops")
WIDE = 200
"""Columns where the output is no terminal: more than the table takes, so that nothing is cut or wrapped."""


@dataclass(frozen=True)
class Model:
    """A composed model, described.

    Attributes:
        name: of the option of the group `model`.
        image_size: side of the images in pixels.
        latent_shape: C, H, W.
        passes: what a pass at batch 1 through each of its networks runs.
        modules: the networks themselves, each once.
        text_tokens: L, the length of the context; None where there is none.
    """

    name: str
    image_size: int
    latent_shape: tuple[int, ...]
    passes: dict[str, Description]
    modules: list[nn.Module]
    text_tokens: int | None = None

    @property
    def image_tokens(self) -> tuple[int, ...]:
        """N, for each grid that the backbone attends on."""
        return self.passes["backbone"].tokens if "backbone" in self.passes else ()

    @property
    def totals(self) -> dict[str, int]:
        """Parameters of all networks, each counted once, and the cost of one pass through each."""
        trainable, frozen, buffers = map(sum, zip(*map(count_values, self.modules), strict=True))
        macs = sum(description.root.macs for description in self.passes.values())
        return {"trainable": trainable, "frozen": frozen, "buffers": buffers, "macs": macs, "flops": 2 * macs}


def run(cfg: DictConfig) -> None:
    """Build the model that `ldmlab train` would, without memory for what is to be trained, and print its parts."""
    model = _autoencoder(cfg) if cfg.model.name == "autoencoder" else _latent_diffusion(cfg)
    if cfg.json:
        print(json.dumps(_plain(model, cfg.depth), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(_table(model, cfg.depth))
    for line in _facts(model):
        console.print(line, highlight=False)


def _autoencoder(cfg: DictConfig) -> Model:
    with torch.device("meta"):
        autoencoder = build_autoencoder(cfg.autoencoder)
        discriminator = instantiate(cfg.discriminator) if cfg.discriminator else None
    passes, latent_shape = _autoencoder_passes(autoencoder, cfg.data.image_size)
    modules: list[nn.Module] = [autoencoder]
    if discriminator is not None:
        passes["discriminator"] = describe(discriminator, _images(cfg.data.image_size))
        modules.append(discriminator)
    return Model(cfg.model.name, cfg.data.image_size, latent_shape, passes, modules)


def _latent_diffusion(cfg: DictConfig) -> Model:
    autoencoder = load_autoencoder(cfg.autoencoder_ckpt)[0].requires_grad_(False)
    coding, latent_shape = _autoencoder_passes(autoencoder, cfg.data.image_size)
    with torch.device("meta"):
        conditioner = build_conditioner(cfg.conditioner).to("meta")
        learns_variance = instantiate(cfg.objective).learns_variance
        backbone = build_backbone(cfg.backbone, latent_shape[0], latent_shape[1], conditioner, learns_variance)
    conditioner.prepare([""])
    cond = conditioner.null(1)
    latents, timesteps = torch.empty(1, *latent_shape, device="meta"), torch.zeros(1, dtype=torch.long)
    passes = {
        "conditioner": describe(conditioner, 1, method="null"),
        "backbone": describe(backbone, latents, timesteps, cond),
    }
    text_tokens = None if cond.context is None else cond.context.shape[1]
    modules = [conditioner, backbone, autoencoder]
    return Model(cfg.model.name, cfg.data.image_size, latent_shape, passes | coding, modules, text_tokens)


def _autoencoder_passes(autoencoder: Autoencoder, image_size: int) -> tuple[dict[str, Description], tuple[int, ...]]:
    """Encoding and decoding one image, and the shape of its latents."""
    encoding = describe(autoencoder, _images(image_size), method="encode")
    side = image_size // autoencoder.factor
    latent_shape = (autoencoder.latent_channels, side, side)
    decoding = describe(autoencoder, torch.empty(1, *latent_shape, device="meta"), method="decode")
    return {"autoencoder.encode": encoding, "autoencoder.decode": decoding}, latent_shape


def _images(size: int) -> Tensor:
    return torch.empty(1, 3, size, size, device="meta")


def _plain(model: Model, depth: int) -> dict[str, Any]:
    """For machines: whole numbers, every part by its path, numbered parts one by one."""
    parts = {name: [_row(*row) for row in d.root.walk(depth)] for name, d in model.passes.items()}
    return {
        "model": model.name,
        "image_size": model.image_size,
        "latent_shape": list(model.latent_shape),
        "image_tokens": list(model.image_tokens),
        "text_tokens": model.text_tokens,
        "totals": model.totals,
        "parts": parts,
    }


def _row(path: str, part: Part) -> dict[str, Any]:
    return {"path": path, "class": part.kind} | {figure: getattr(part, figure) for figure in FIGURES}


def _table(model: Model, depth: int) -> Table:
    totals = model.totals
    unit = "G" if totals["macs"] >= 1e10 else "M"
    shown = [figure for figure in FIGURES if totals[figure] or figure == "trainable"]
    table = Table(title=f"{model.name}: one pass at batch 1", title_justify="left", show_footer=True)
    table.add_column("module", "all, one pass each", no_wrap=True, overflow="ellipsis")
    table.add_column("class", no_wrap=True, overflow="ellipsis")
    for figure in shown:
        heading = {"macs": f"{unit}MACs", "flops": f"{unit}FLOPs"}.get(figure, figure)
        table.add_column(heading, _number(figure, totals[figure], unit), justify="right", no_wrap=True)
    for name, description in model.passes.items():
        for label, part in _lines(name, description.root.folded(), depth):
            kind = part.kind if part.count == 1 else f"{part.count} x {part.kind}"
            numbers = [_number(figure, getattr(part, figure), unit) for figure in shown]
            table.add_row(label, kind, *numbers, style="bold" if label == name else None)
        table.add_section()
    return table


def _lines(name: str, root: Part, depth: int) -> Iterator[tuple[str, Part]]:
    """A part and those inside it that have figures, labelled and indented by level."""
    for path, part in root.walk(depth):
        if not path:
            yield name, part
        elif any(getattr(part, figure) for figure in FIGURES):
            yield "  " * (path.count(".") + 1) + path.rpartition(".")[2], part


def _number(figure: str, value: int, unit: str) -> str:
    """Parameters to the last one; costs in the table's unit, so that a column can be added up."""
    if figure not in ("macs", "flops") or value == 0:
        return f"{value:,}"
    return f"{value / {'G': 1e9, 'M': 1e6}[unit]:,.3f}"


def _facts(model: Model) -> Iterator[str]:
    channels, rows, columns = model.latent_shape
    size = model.image_size
    yield f"images 3 x {size} x {size}, latents {channels} x {rows} x {columns}"
    if model.image_tokens:
        yield f"image tokens N = {', '.join(map(str, model.image_tokens))}; text tokens L = {model.text_tokens or 0}"
    yield "FLOPs are 2 MACs, of matrix products and convolutions; element-wise operations are not counted"
