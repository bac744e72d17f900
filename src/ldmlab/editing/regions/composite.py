"""Masks between pixels and latents, and pictures whose known pixels stay exactly as they were.

Shapes: N pictures, fH x fW pixels, H x W latents, f the autoencoder's factor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor


def latent_mask(mask: Bool[Tensor, "*N fH fW"], factor: int) -> Bool[Tensor, "N 1 H W"]:
    """The latents that may change: those with at least one pixel that may.

    If all of its pixels had to be free, the rim of a mask that does not lie on the latent grid would keep what it had,
    and a mask thinner than f pixels would do nothing. The known pixels of such a latent are put back by `composite`.

    Args:
        mask: True where a pixel may change; one mask, or N. The factor divides its sides.
        factor: f.
    """
    pixels = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    return F.max_pool2d(pixels, factor) > 0


def composite(
    drawn: UInt8[Tensor, "N 3 fH fW"],
    known: UInt8[Tensor, "#N 3 fH fW"],
    mask: Bool[Tensor, "*N fH fW"],
    feather: int = 0,
) -> UInt8[Tensor, "N 3 fH fW"]:
    """`drawn` inside the mask and `known` outside, to the last bit.

    Args:
        drawn: the pictures that were drawn.
        known: the picture whose outside is kept; one for each, or one for all.
        mask: True inside.
        feather: width in pixels, inside the mask, over which one passes into the other.

    Raises:
        ValueError: the feather is negative.
    """
    check_feather(feather)
    inside = mask.reshape(-1, 1, *mask.shape[-2:])
    if feather == 0:
        return torch.where(inside, drawn, known)
    weight = feathered(inside, feather).expand(len(drawn), 1, *mask.shape[-2:])
    each = zip(weight, drawn, known.expand_as(drawn), strict=True)  # one by one, since floats take four times the room
    mixed = torch.stack([(w * new.float() + (1 - w) * old.float()).round().to(torch.uint8) for w, new, old in each])
    return torch.where(inside, mixed, known)


def feathered(inside: Bool[Tensor, "N 1 fH fW"], width: int) -> Float[Tensor, "N 1 fH fW"]:
    """1 deep inside, falling in equal steps to 1 / width at the last pixel inside, and 0 outside.

    The depth of a pixel is the number of rings that would have to be taken away for it to go. The picture's own edge is
    no rim.
    """
    outside = 1 - inside.float()
    depth = torch.zeros_like(outside)
    for _ in range(width):
        depth += 1 - outside
        outside = F.max_pool2d(outside, 3, stride=1, padding=1)
    return depth / width


def check_feather(feather: int) -> None:
    """Refuse a feather of negative width.

    Raises:
        ValueError: the width is below 0.
    """
    if feather < 0:
        raise ValueError(f"feather={feather}: a number of pixels, at least 0; 0 is a hard rim")
