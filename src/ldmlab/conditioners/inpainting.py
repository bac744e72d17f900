"""A mask and the encoded masked picture as the condition: inpainting (Rombach et al. 2022, section 4.5).

Shapes: B batch, C latent channels, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from ldmlab.conditioners.base import Conditioner, LatentSpace
from ldmlab.conditioners.image import ImageConditioner
from ldmlab.conditioners.masks import random_masks
from ldmlab.conditioners.pixels import as_bytes, batch_tensor
from ldmlab.draws import Draws


@dataclass(frozen=True)
class MaskLayout:
    """How a published inpainting model is told a mask.

    Attributes:
        hidden: value of the pixels to fill in the picture that is encoded, in [-1, 1].
        known: value of the mask where the picture is known; it is 1 where it is to be filled.
        mask_first: whether the mask stands before the latents of the masked picture.
    """

    hidden: float
    known: float
    mask_first: bool


LAYOUTS = {"ldm": MaskLayout(hidden=-1.0, known=-1.0, mask_first=False), "sd": MaskLayout(0.0, 0.0, mask_first=True)}
"""Latent diffusion: black holes, then masked latents and mask in {-1, 1}. Stable Diffusion: grey holes, then mask in
{0, 1} and masked latents."""


class Inpainting(ImageConditioner):
    """Reads `batch["images"]`, and `batch["masks"]` (B,fH,fW), True where to fill; data's are drawn by `complete`.

    The masked picture's latents are the mean that the frozen autoencoder gives, and a cell of the mask is its pixel at
    the upper left (nearest neighbour), as in both published implementations.

    Args:
        layout: "ldm" or "sd": how latent diffusion or Stable Diffusion is told the mask.
        text: the conditioner of what else the model reads, such as a prompt; none if not given.
    """

    shows = "mean of the known pixels"
    encodes = True

    def __init__(self, layout: str = "ldm", text: Conditioner | None = None) -> None:
        super().__init__(text)
        if layout not in LAYOUTS:
            raise ValueError(f"conditioner.layout={layout}: choose one of {', '.join(LAYOUTS)}")
        self.layout = LAYOUTS[layout]

    def channels(self, space: LatentSpace) -> int:
        """Cc = C + 1: the latents of the masked picture, and the mask."""
        return space.latent_channels + 1

    def complete(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Mapping[str, Any]:
        """The batch with random masks where it has none, drawn by `random_masks`."""
        if "masks" in batch:
            return batch
        images = batch_tensor(batch, "images", "inpainting", self.device())
        count, _, height, width = images.shape
        return {**batch, "masks": random_masks(draws or Draws(count), height, width, images.device)}

    @torch.no_grad()
    def concat(self, batch: Mapping[str, Any]) -> Float[Tensor, "B Cc H W"]:
        """The masked picture's latents and the mask on the latent grid, in the order of the layout."""
        images, masks = self._read(batch)
        latents, _ = self.space.moments(images.masked_fill(masks, self.layout.hidden))
        cells = F.interpolate(masks.to(latents.dtype), size=latents.shape[2:], mode="nearest")
        mask = self.layout.known + (1 - self.layout.known) * cells
        return torch.cat([mask, latents] if self.layout.mask_first else [latents, mask], dim=1)

    def naive(self, batch: Mapping[str, Any]) -> Float[Tensor, "B 3 fH fW"]:
        """The known pixels, and their mean colour elsewhere: the baseline of the task."""
        images, masks = self._read(batch)
        known = (~masks).sum(dim=(2, 3), keepdim=True).clamp(min=1)
        mean = images.masked_fill(masks, 0).sum(dim=(2, 3), keepdim=True) / known
        return torch.where(masks, mean, images)

    def finish(self, batch: Mapping[str, Any], pictures: UInt8[Tensor, "B 3 fH fW"]) -> UInt8[Tensor, "B 3 fH fW"]:
        """The drawn pictures with the known pixels put back, exactly as they were."""
        images, masks = (tensor.to(pictures.device) for tensor in self._read(batch))
        return torch.where(masks, pictures, as_bytes(images))

    def given(
        self, image: UInt8[Tensor, "3 _ _"], mask: Bool[Tensor, "_ _"] | None = None
    ) -> dict[str, Float[Tensor, "1 ..."]]:
        """What `forward` reads, for a user's picture with a hole.

        Args:
            image: the picture, of the model's own size.
            mask: True where it is to be filled, of the picture's size.

        Raises:
            ValueError: there is no mask, it is empty, or a size is another.
        """
        if mask is None:
            raise ValueError("mask: this model fills a part of a picture; give mask=PATH, white where to fill")
        batch = super().given(image)
        if mask.shape != image.shape[1:]:
            sizes = f"{mask.shape[1]}x{mask.shape[0]} pixels and the picture {image.shape[2]}x{image.shape[1]}"
            raise ValueError(f"mask: is {sizes}; give one of the same size")
        if not bool(mask.any()):
            raise ValueError("mask: marks nothing to fill; give one that is white where to fill")
        return {**batch, "masks": mask[None]}

    def _read(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "B 3 fH fW"], Bool[Tensor, "B 1 fH fW"]]:
        images, masks = (batch_tensor(batch, key, "inpainting", self.device()) for key in ("images", "masks"))
        return images, masks.bool()[:, None]
