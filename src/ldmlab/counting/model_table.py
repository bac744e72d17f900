"""A described model as a table for people, and as JSON data for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from ldmlab.counting.model_description import ModelDescription
from ldmlab.counting.module_cost import ModuleCost

FIGURES = ("trainable", "frozen", "buffers", "macs", "flops", "activation_bytes")


def as_json(model: ModelDescription, depth: int) -> dict[str, Any]:
    """A description as plain data for machines: whole numbers, every module by its path, numbered ones one by one."""
    parts = {name: [_row(*row) for row in d.root.walk(depth)] for name, d in model.passes.items()}
    return {
        "model": model.kind,
        "experiment": model.experiment,
        "image_size": model.image_size,
        "latent_shape": list(model.latent_shape),
        "image_tokens": list(model.image_tokens),
        "text_tokens": model.text_tokens,
        "totals": model.totals,
        "denoiser": model.denoiser,
        "parts": parts,
    }


def _row(path: str, part: ModuleCost) -> dict[str, Any]:
    return {"path": path, "class": part.kind} | {figure: getattr(part, figure) for figure in FIGURES}


def as_table(model: ModelDescription, depth: int) -> Table:
    """A description as a table for people: costs in one unit, alike numbered modules as one row, no column of zeros."""
    totals = model.totals
    unit = "G" if totals["macs"] >= 1e10 else "M"
    shown = [figure for figure in FIGURES if totals[figure] or figure == "trainable"]
    headings = {"macs": f"{unit}MACs", "flops": f"{unit}FLOPs", "activation_bytes": "activations, MB"}
    table = Table(title=f"{model.kind}: one pass at batch 1", title_justify="left", show_footer=True)
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


def _lines(name: str, root: ModuleCost, depth: int) -> Iterator[tuple[str, ModuleCost]]:
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


def facts(model: ModelDescription) -> Iterator[str]:
    """Lines to print below the table: sizes, tokens, the denoiser as papers count it, and how FLOPs are counted."""
    channels, rows, columns = model.latent_shape
    size = model.image_size
    yield f"images 3 x {size} x {size}, latents {channels} x {rows} x {columns}"
    if model.image_tokens:
        yield f"image tokens N = {', '.join(map(str, model.image_tokens))}; text tokens L = {model.text_tokens or 0}"
    if model.denoiser is not None:
        yield _as_published(model.denoiser)
    if model.experiment is not None:
        yield f"this is experiment={model.experiment}"
    yield "FLOPs are 2 MACs, of matrix products and convolutions; element-wise operations are not counted"
