"""A small picture as the condition: super-resolution (Saharia et al. 2021; Rombach et al. 2022, section 4.4).

Shapes: B batch, H x W latent grid, f the autoencoder's factor, k the factor of the enlargement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from ldmlab.conditioners.base import Conditioner, LatentSpace
from ldmlab.conditioners.image import ImageConditioner, require_side
from ldmlab.conditioners.pixels import as_stored, batch_tensor, signed


class SuperResolution(ImageConditioner):
    """Reads `batch["low_resolution"]` as it is, or makes it from `batch["images"]`: bicubic, antialiased, 8 bits.

    The small picture comes to the latent grid by pixel-unshuffle where it is finer than the grid (k < f), and by
    repeating its pixels where it is coarser; k = f, as in latent diffusion, takes neither.

    Args:
        factor: k.
        text: the conditioner of what else the model reads, such as a prompt; none if not given.
    """

    shows = "bicubic"

    def __init__(self, factor: int = 4, text: Conditioner | None = None) -> None:
        super().__init__(text)
        if factor < 2:
            raise ValueError(f"conditioner.factor={factor}: enlarge by 2 or more")
        self.factor = factor

    def channels(self, space: LatentSpace) -> int:
        """Cc = 3 (f / k)^2 where the small picture is finer than the latent grid, else 3."""
        if space.factor % self.factor and self.factor % space.factor:
            raise ValueError(
                f"conditioner.factor={self.factor}: give a divisor or a multiple of the autoencoder's, {space.factor}"
            )
        return 3 * max(1, space.factor // self.factor) ** 2

    def concat(self, batch: Mapping[str, Any]) -> Float[Tensor, "B Cc H W"]:
        """The small picture in [-1, 1], brought to the latent grid."""
        small, factor = self.small(batch), self.space.factor
        if factor >= self.factor:
            return F.pixel_unshuffle(small, factor // self.factor)
        return F.interpolate(small, scale_factor=self.factor // factor, mode="nearest")

    def small(self, batch: Mapping[str, Any]) -> Float[Tensor, "B 3 fH/k fW/k"]:
        """The small picture in [-1, 1], as it is given or made from the large one."""
        if "low_resolution" in batch:
            return batch_tensor(batch, "low_resolution", "super_resolution", self.device())
        images = batch_tensor(batch, "images", "super_resolution", self.device())
        height, width = images.shape[2:]
        if height % self.factor or width % self.factor:
            raise ValueError(f"conditioner.factor={self.factor}: does not divide pictures of {height}x{width}")
        size = (height // self.factor, width // self.factor)
        return as_stored(F.interpolate(images, size=size, mode="bicubic", antialias=True))

    def naive(self, batch: Mapping[str, Any]) -> Float[Tensor, "B 3 fH fW"]:
        """The small picture enlarged by bicubic interpolation: the baseline of the task."""
        return F.interpolate(self.small(batch), scale_factor=self.factor, mode="bicubic").clamp(-1, 1)

    def given(
        self, image: UInt8[Tensor, "3 _ _"], mask: Bool[Tensor, "_ _"] | None = None
    ) -> dict[str, Float[Tensor, "1 ..."]]:
        """What `forward` reads, for a user's picture.

        Args:
            image: a small picture, taken as it is; or one of the size that the model draws, which is made small first.
            mask: none, since the task fills nothing.

        Raises:
            ValueError: the picture is of another size, or a mask is given.
        """
        if mask is not None or image.shape[1] == self.side:
            return super().given(image, mask)
        require_side(image, self.side // self.factor)
        return {"low_resolution": signed(image)[None]}
