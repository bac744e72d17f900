"""A described model as a table for people and as plain data for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from torch import nn

from ldmlab.cli.published import STUDY
from ldmlab.describe import Description, Part, count_values

FIGURES = ("trainable", "frozen", "buffers", "macs", "flops", "activation_bytes")
DENOISER = ("conditioner", "backbone")
"""The networks that latent diffusion trains."""


@dataclass(frozen=True)
class Model:
    """A composed model, described.

    Attributes:
        name: of the option of the group `model`.
        image_size: side of the images in pixels.
        latent_shape: C, H, W.
        passes: what a pass at batch 1 through each of its networks runs.
        modules: the networks themselves, each once.
        setting: the experiment that was chosen.
        text_tokens: L, the length of the context; None where there is none.
    """

    name: str
    image_size: int
    latent_shape: tuple[int, ...]
    passes: dict[str, Description]
    modules: dict[str, nn.Module]
    setting: str | None
    text_tokens: int | None = None

    @property
    def image_tokens(self) -> tuple[int, ...]:
        """N, for each grid that the backbone attends on."""
        return self.passes["backbone"].tokens if "backbone" in self.passes else ()

    @property
    def totals(self) -> dict[str, int]:
        """Of all networks."""
        return _totals(self.modules.values(), self.passes.values())

    @property
    def denoiser(self) -> dict[str, int] | None:
        """Of backbone and conditioner, as papers count a model; None where there are none."""
        if not {*DENOISER} <= {*self.modules}:
            return None
        return _totals([self.modules[name] for name in DENOISER], [self.passes[name] for name in DENOISER])


def _totals(modules: Iterable[nn.Module], passes: Iterable[Description]) -> dict[str, int]:
    """Parameters of networks, each counted once, and the cost of one pass through each."""
    trainable, frozen, buffers = map(sum, zip(*map(count_values, modules), strict=True))
    macs, kept = map(sum, zip(*((each.root.macs, each.root.activation_bytes) for each in passes), strict=True))
    return {
        "parameters": trainable + frozen + buffers,
        "trainable": trainable,
        "frozen": frozen,
        "buffers": buffers,
        "macs": macs,
        "flops": 2 * macs,
        "activation_bytes": kept,
    }


def plain(model: Model, depth: int) -> dict[str, Any]:
    """For machines: whole numbers, every part by its path, numbered parts one by one."""
    parts = {name: [_row(*row) for row in d.root.walk(depth)] for name, d in model.passes.items()}
    return {
        "model": model.name,
        "experiment": model.setting,
        "image_size": model.image_size,
        "latent_shape": list(model.latent_shape),
        "image_tokens": list(model.image_tokens),
        "text_tokens": model.text_tokens,
        "totals": model.totals,
        "denoiser": model.denoiser,
        "parts": parts,
    }


def _row(path: str, part: Part) -> dict[str, Any]:
    return {"path": path, "class": part.kind} | {figure: getattr(part, figure) for figure in FIGURES}


def table(model: Model, depth: int) -> Table:
    totals = model.totals
    unit = "G" if totals["macs"] >= 1e10 else "M"
    shown = [figure for figure in FIGURES if totals[figure] or figure == "trainable"]
    headings = {"macs": f"{unit}MACs", "flops": f"{unit}FLOPs", "activation_bytes": "activations, MB"}
    table = Table(title=f"{model.name}: one pass at batch 1", title_justify="left", show_footer=True)
    table.add_column("module", "all, one pass each", no_wrap=True, overflow="ellipsis")
    table.add_column("class", no_wrap=True, overflow="ellipsis")
    for figure in shown:
        footer = _number(figure, totals[figure], unit)
        table.add_column(headings.get(figure, figure), footer, justify="right", no_wrap=True)
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
    if figure == "activation_bytes":
        return f"{value / 1e6:,.1f}" if value else "0"
    if figure not in ("macs", "flops") or value == 0:
        return f"{value:,}"
    return f"{value / {'G': 1e9, 'M': 1e6}[unit]:,.3f}"


def _as_published(denoiser: dict[str, int]) -> str:
    """The row of a paper's table."""
    return (
        f"denoiser (backbone and conditioner): {denoiser['parameters']:,} parameters, {denoiser['trainable']:,} of "
        f"them trainable; {denoiser['macs'] / 1e9:,.2f} GMACs = {denoiser['flops'] / 1e9:,.2f} GFLOPs"
    )


def facts(model: Model) -> Iterator[str]:
    channels, rows, columns = model.latent_shape
    size = model.image_size
    yield f"images 3 x {size} x {size}, latents {channels} x {rows} x {columns}"
    if model.image_tokens:
        yield f"image tokens N = {', '.join(map(str, model.image_tokens))}; text tokens L = {model.text_tokens or 0}"
    if model.denoiser is not None:
        yield _as_published(model.denoiser)
    if model.setting is not None and model.setting.startswith(f"{STUDY}/"):
        yield f"this is experiment={model.setting}, the published setting; experiment=null is without it"
    yield "FLOPs are 2 MACs, of matrix products and convolutions; element-wise operations are not counted"
