"""A whole latent diffusion model: autoencoder, denoiser and conditioner.

Shapes: N pictures, C latent channels, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.pixels import as_bytes, signed
from ldmlab.diffusion.denoiser import Denoiser


def to_uint8(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [-1, 1] as bytes, rounded and clamped.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not bool(torch.isfinite(images).all()):
        raise ValueError(
            "the pictures hold NaN or infinite values; use an earlier checkpoint, less guidance.scale, or precision= "
            "other than fp16"
        )
    return as_bytes(images)


class LatentDiffusion(nn.Module):
    """The trained parts and nothing of the training. How pictures come out of it is told by the room `drawing`.

    Args:
        autoencoder: between images and latents.
        denoiser: estimates clean latents.
        conditioner: from prompts, labels or pictures to conditions.
        latent_grid: side of the square latent grid that the denoiser works on.

    Attributes:
        latent_shape: C, H and W of a picture's latents.
    """

    def __init__(
        self, autoencoder: Autoencoder, denoiser: Denoiser, conditioner: Conditioner, latent_grid: int
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.conditioner = conditioner
        conditioner.place(autoencoder, latent_grid)
        self.latent_shape = (autoencoder.latent_channels, latent_grid, latent_grid)

    @property
    def device(self) -> torch.device:
        """The device of the weights, where latents are made too."""
        return self.autoencoder.latent_mean.device

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N 3 fH fW"]:
        """Pictures from latents of unit variance.

        Raises:
            ValueError: a pixel is NaN or infinite.
        """
        return to_uint8(self.autoencoder.decode(latents))

    @torch.no_grad()
    def encode(self, pictures: UInt8[Tensor, "N 3 fH fW"]) -> Float[Tensor, "N C H W"]:
        """Pictures of any size as latents, the mean of what the encoder allows.

        One by one: kernels choose their order of summation by the batch, and a picture's latents are its own.
        """
        images = signed(pictures.to(self.device))
        return torch.cat([self.autoencoder.moments(image[None])[0] for image in images])
