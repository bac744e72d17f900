"""Pictures laid out in a labelled grid."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MARGIN = 6
LINES = 3
SMALLEST = 128


def to_pil(image: UInt8[Tensor, "3 H W"]) -> Image.Image:
    """A picture as one of PIL."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))


def from_pil(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """A picture of PIL as an RGB tensor."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def contact_sheet(
    images: UInt8[Tensor, "N 3 H W"], labels: Sequence[str] | None = None, columns: int = 4
) -> Image.Image:
    """Lay out pictures row by row, each over its label. Small pictures are enlarged by a whole factor.

    Raises:
        ValueError: there is no picture, no column, or not one label for each.
    """
    if not len(images):
        raise ValueError("a contact sheet needs at least one picture")
    if columns < 1:
        raise ValueError(f"columns={columns}: give 1 or more")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"a contact sheet of {len(images)} pictures got {len(labels)} labels; give one a picture")
    columns = min(columns, len(images))
    height, width = images.shape[-2:]
    factor = max(1, -(-SMALLEST // width))
    font = ImageFont.load_default(size=11)
    text_height = 0 if labels is None else LINES * 13 + 2
    cell = (width * factor + MARGIN, height * factor + text_height + MARGIN)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = MARGIN + column * cell[0], MARGIN + row * cell[1]
        picture = to_pil(image).resize((width * factor, height * factor), Image.Resampling.NEAREST)
        sheet.paste(picture, (x, y))
        draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline="lightgray")
        if labels is not None:
            lines = wrap(labels[index], max(8, width * factor // 6), max_lines=LINES, placeholder=" ...")
            draw.text((x, y + picture.height + 2), "\n".join(lines), fill="black", font=font, spacing=2)
    return sheet
