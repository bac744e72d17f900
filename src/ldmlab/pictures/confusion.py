"""Confusion matrices as one picture: a labelled table each, whose colours are shares of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont

from ldmlab.pictures.heatmaps import inferno

CELL, LABELS, MARGIN, SIZE = 48, 70, 10, 11
Matrix = tuple[Sequence[str], Sequence[str], Sequence[Sequence[int]]]
"""What was asked for (rows), what was seen (columns), and how often."""


def confusion_sheet(matrices: Mapping[str, Matrix]) -> Image.Image:
    """The matrices side by side, each under its name.

    Args:
        matrices: by name; at least one.

    Raises:
        ValueError: there is none.
    """
    if not matrices:
        raise ValueError("a sheet of confusions needs at least one matrix")
    widths = [LABELS + _column(seen) * len(seen) + MARGIN for _, seen, _ in matrices.values()]
    height = 2 * MARGIN + 3 * SIZE + CELL * max(len(asked) for asked, _, _ in matrices.values())
    sheet = Image.new("RGB", (sum(widths) + MARGIN, height + MARGIN), "white")
    draw, left = ImageDraw.Draw(sheet), MARGIN
    for (name, matrix), width in zip(matrices.items(), widths, strict=True):
        _draw(draw, left, name, matrix)
        left += width
    return sheet


def _column(labels: Sequence[str]) -> int:
    """The width of a column, in pixels, in which each label has its place."""
    font = ImageFont.load_default(size=SIZE)
    return max(CELL, *(int(font.getlength(label)) + 5 for label in labels))


def _draw(draw: ImageDraw.ImageDraw, left: int, name: str, matrix: Matrix) -> None:
    asked, seen, counts = matrix
    font, top, across = ImageFont.load_default(size=SIZE), MARGIN + 3 * SIZE, _column(seen)
    draw.text((left, MARGIN), f"{name}: asked, and seen", fill="black", font=font)
    for column, label in enumerate(seen):
        draw.text((left + LABELS + column * across, top - SIZE - 2), label, fill="black", font=font)
    for row, label in enumerate(asked):
        draw.text((left, top + row * CELL + CELL // 3), label, fill="black", font=font)
        shares = torch.tensor(counts[row], dtype=torch.float32) / max(1, sum(counts[row]))
        for column, colour in enumerate((255 * inferno(shares)).round().int().tolist()):
            x, y = left + LABELS + column * across, top + row * CELL
            draw.rectangle((x, y, x + across - 2, y + CELL - 2), fill=tuple(colour))
            ink = "white" if shares[column] < 0.6 else "black"
            draw.text((x + 4, y + CELL // 3), str(counts[row][column]), fill=ink, font=font)
