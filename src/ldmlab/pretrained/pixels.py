"""Pictures as networks from other packages take them: resized as Pillow does, cut, and brought to their mean and range.

Shapes: B images, H x W pixels, N the side of what the network takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def squashed(images: UInt8[Tensor, "B 3 H W"], size: int) -> UInt8[Tensor, "B 3 N N"]:
    """Whole images at N x N pixels, bicubic and antialiased."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import resize

    return resize(images, [size, size], InterpolationMode.BICUBIC, antialias=True)


def centred(images: UInt8[Tensor, "B 3 H W"], size: int) -> UInt8[Tensor, "B 3 N N"]:
    """The middle of images whose shorter side is brought to N pixels, bicubic and antialiased."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import center_crop, resize

    return center_crop(resize(images, [size], InterpolationMode.BICUBIC, antialias=True), [size, size])


def normalised(
    images: UInt8[Tensor, "B 3 H W"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "B 3 H W"]:
    """Images on the scale 0..1, less a mean and divided by a standard deviation of each colour."""
    shift, scale = (torch.tensor(each, device=images.device)[:, None, None] for each in (mean, std))
    return (images / 255 - shift) / scale
