"""The KL autoencoder that suits pictures of a size: its factor follows from how many pixels they have."""

from __future__ import annotations

from dataclasses import dataclass

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.autoencoders.kl import AutoencoderKL


@dataclass(frozen=True)
class Layout:
    """Pictures up to `pixels` a side, and latent diffusion's autoencoder for them (Rombach et al. 2022, table 8)."""

    pixels: int
    multipliers: tuple[int, ...]
    latent_channels: int

    @property
    def factor(self) -> int:
        """Pixels of a side for each latent of a side."""
        return int(2 ** (len(self.multipliers) - 1))


LAYOUTS = (Layout(128, (1, 2, 4), 3), Layout(512, (1, 2, 4, 4), 4), Layout(4096, (1, 1, 2, 2, 4), 16))
"""So the latent grid of 64 to 1024 pixels is 16 to 64 a side, which a small denoiser manages."""


def kl_by_size(
    image_size: int,
    channels: int = 64,
    residual_blocks: int = 2,
    norm_groups: int = 32,
    initial_log_variance: float = 0.0,
) -> Autoencoder:
    """An untrained `AutoencoderKL` of factor 4 up to 128 pixels, 8 up to 512, and 16 above.

    Args:
        image_size: side of the pictures in pixels.
        channels: features at the highest resolution; 128 in the papers.
        residual_blocks: residual blocks a resolution in the encoder.
        norm_groups: groups of every group norm.
        initial_log_variance: of the untrained posterior. Below 0, early training is not drowned in its noise.

    Raises:
        ValueError: the factor does not divide the size, or the pictures are larger than any that are drawn.
    """
    layout = next((each for each in LAYOUTS if image_size <= each.pixels), None)
    if layout is None or image_size < 1:
        raise ValueError(f"data.image_size={image_size}: give a side from 1 to {LAYOUTS[-1].pixels} pixels")
    if image_size % layout.factor:
        raise ValueError(
            f"data.image_size={image_size}: the autoencoder for this size makes one latent of {layout.factor} pixels a "
            f"side; give a multiple of {layout.factor}"
        )
    return AutoencoderKL(
        channels,
        layout.multipliers,
        residual_blocks,
        layout.latent_channels,
        norm_groups=norm_groups,
        initial_log_variance=initial_log_variance,
    )
