"""Attention maps laid over their pictures: a labelled sheet with a column for each word.

Shapes: N pictures, K words, W x H pixels of a map, which is a whole number of times as large as its picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ldmlab.pictures.contact_sheet import MARGIN, contact_sheet, to_pil

Scale = Literal["word", "common"]

SMALLEST = 192
"""Pixels that a cell of the sheet is wide at least."""
INFERNO = "000004 1f0c48 550f6d 88226a ba3655 e35933 f98c0a f9c932 fcffa4"
"""Nine colours, evenly spaced, of van der Walt & Smith's inferno, whose lightness grows evenly; between them, lines."""
OPACITY = 0.65
LUMA = (0.299, 0.587, 0.114)
BAR = (160, 12)


def map_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which the maps of pictures of a size are shown."""
    factor = max(1, -(-SMALLEST // width))
    return factor * height, factor * width


def inferno(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3"]:
    """Colours in [0, 1] of values in [0, 1]."""
    table = torch.tensor([list(bytes.fromhex(colour)) for colour in INFERNO.split()]) / 255
    place = values.clamp(0, 1) * (len(table) - 1)
    low = place.long().clamp(max=len(table) - 2)
    return torch.lerp(table[low], table[low + 1], (place - low)[..., None])


def overlay(picture: UInt8[Tensor, "3 H W"], heat: Float[Tensor, "*K H W"]) -> UInt8[Tensor, "*K 3 H W"]:
    """The picture in grey through the colours of a map in [0, 1].

    Grey is counted from the picture's median, so that on a dark and on a light background a value has one colour.
    """
    grey = (picture.float() / 255 * torch.tensor(LUMA)[:, None, None]).sum(dim=0)
    return _mixed((1 + grey - grey.median()) / 2, heat)


def _mixed(grey: Float[Tensor, "H W"], heat: Float[Tensor, "*K H W"]) -> UInt8[Tensor, "*K 3 H W"]:
    colours = (1 - OPACITY) * grey[..., None] + OPACITY * inferno(heat)
    return (255 * colours).round().to(torch.uint8).movedim(-1, -3)


def heat_sheet(
    pictures: UInt8[Tensor, "N 3 h w"],
    maps: Float[Tensor, "N K H W"],
    words: Sequence[Sequence[str]],
    titles: Sequence[str],
    scale: Scale = "word",
) -> Image.Image:
    """A row for each picture: itself over its title, then the map of each word over the word and its largest value.

    Args:
        pictures: as drawn; they may repeat.
        maps: shares of attention, each as large as `map_size` says.
        words: of each picture, at most K; cells without a word stay white.
        titles: one a picture.
        scale: what the brightest colour is: each map's largest value ("word"), or the largest of the sheet ("common").
    """
    peaks = maps.flatten(2).amax(dim=-1)
    tops = peaks if scale == "word" else peaks.max().expand_as(peaks)
    heat = maps / tops.clamp(min=torch.finfo(maps.dtype).tiny)[..., None, None]
    cells, labels = [], []
    for row, large in enumerate(F.interpolate(pictures, size=maps.shape[-2:], mode="nearest")):
        shown = overlay(large, heat[row])
        shown[len(words[row]) :] = 255
        cells += [large[None], shown]
        captions = [f"{word} ({peak:.1%})" for word, peak in zip(words[row], peaks[row], strict=False)]
        labels += [titles[row], *captions, *[""] * (maps.shape[1] - len(captions))]
    return _with_key(contact_sheet(torch.cat(cells), labels, columns=1 + maps.shape[1]), scale, float(peaks.max()))


def _with_key(sheet: Image.Image, scale: Scale, largest: float) -> Image.Image:
    """What the colours mean, above the sheet."""
    end_text = (
        "each map's largest share of attention, in brackets" if scale == "word" else f"{largest:.1%} of attention"
    )
    font = ImageFont.load_default(size=11)
    values = torch.linspace(0, 1, BAR[0]).expand(BAR[1], -1)
    bar = _mixed(torch.full_like(values, 0.5), values)
    start = MARGIN + 12
    end = start + BAR[0] + MARGIN
    top = BAR[1] + 2 * MARGIN
    width = max(sheet.width, end + round(font.getlength(end_text)) + MARGIN)
    result = Image.new("RGB", (width, sheet.height + top), "white")
    result.paste(to_pil(bar), (start, MARGIN))
    result.paste(sheet, (0, top))
    draw = ImageDraw.Draw(result)
    for x, text in ((MARGIN, "0"), (end, end_text)):
        draw.text((x, MARGIN), text, fill="black", font=font)
    return result
