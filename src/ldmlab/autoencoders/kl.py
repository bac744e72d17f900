"""Autoencoder with a Gaussian latent, slightly regularised towards N(0, 1) (Rombach et al. 2022, appendix G).

Shapes: B batch, C latent channels, H x W latent grid, f downsampling factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.autoencoders.blocks import Decoder, Encoder


@dataclass(frozen=True)
class DiagonalGaussian:
    """A normal distribution for every latent, as the encoder gives it, before normalisation."""

    mean: Float[Tensor, "B C H W"]
    log_variance: Float[Tensor, "B C H W"]

    @property
    def std(self) -> Float[Tensor, "B C H W"]:
        """Standard deviation."""
        return (0.5 * self.log_variance).exp()

    def sample(self) -> Float[Tensor, "B C H W"]:
        """Draw by the reparameterisation trick."""
        return self.mean + self.std * torch.randn_like(self.mean)

    def kl(self) -> Float[Tensor, " B"]:
        """KL divergence from N(0, 1) in nats, summed over a sample's latents."""
        terms = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * terms.flatten(1).sum(dim=1)


class AutoencoderKL(nn.Module):
    """Encoder, Gaussian latent, decoder. Latents outside have mean 0 and variance 1 in every channel.

    The statistics for that are buffers, set by `set_statistics` and saved with the weights.

    Args:
        channels: features at the highest resolution.
        multipliers: features at each resolution as multiples of `channels`; f = patch * 2^(len - 1).
        residual_blocks: residual blocks a resolution in the encoder.
        latent_channels: C.
        attention_factors: downsampling factors with attention besides the middle.
        norm_groups: groups of every group norm.
        patch: side of the pixel patches taken as one position at the start; 1 in the papers, more is cheaper.
        initial_log_variance: of the untrained posterior. Below 0, early training is not drowned in its noise.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        residual_blocks: int = 2,
        latent_channels: int = 4,
        attention_factors: Sequence[int] = (),
        norm_groups: int = 32,
        patch: int = 1,
        initial_log_variance: float = 0.0,
    ) -> None:
        super().__init__()
        common = (channels, multipliers, residual_blocks)
        rest = (attention_factors, norm_groups, patch)
        self.encoder = Encoder(*common, 2 * latent_channels, *rest)
        self.to_moments = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        if self.to_moments.bias is not None:
            nn.init.constant_(self.to_moments.bias[latent_channels:], initial_log_variance)
        self.from_latents = nn.Conv2d(latent_channels, latent_channels, 1)
        self.decoder = Decoder(*common, latent_channels, *rest)
        self.latent_channels = latent_channels
        self.factor = patch * 2 ** (len(multipliers) - 1)
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def posterior(self, images: Float[Tensor, "B 3 fH fW"]) -> DiagonalGaussian:
        """The distribution of raw latents given images in [-1, 1].

        Raises:
            ValueError: the factor does not divide the images' sides.
        """
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"the autoencoder's factor {self.factor} does not divide images of {height}x{width}; "
                f"set data.image_size to a multiple of {self.factor}"
            )
        mean, log_variance = self.to_moments(self.encoder(images)).chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance.clamp(-30, 20))

    def reconstruct(self, raw: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Decode raw latents, as `posterior` gives them."""
        return self.decoder(self.from_latents(raw))

    def moments(self, images: Float[Tensor, "B 3 fH fW"]) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]:
        """Mean and standard deviation of the normalised latents."""
        raw = self.posterior(images)
        mean, std = self._statistics()
        return (raw.mean - mean) / std, raw.std / std

    def encode(self, images: Float[Tensor, "B 3 fH fW"]) -> Float[Tensor, "B C H W"]:
        """Draw latents of unit variance."""
        mean, std = self._statistics()
        return (self.posterior(images).sample() - mean) / std

    def decode(self, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Images, about in [-1, 1], from latents of unit variance."""
        mean, std = self._statistics()
        return self.reconstruct(latents * std + mean)

    def set_statistics(self, mean: Float[Tensor, " C"], std: Float[Tensor, " C"]) -> None:
        """Set what `encode` subtracts and divides by.

        Raises:
            ValueError: a standard deviation is zero, negative or not finite.
        """
        if not bool((torch.isfinite(std) & (std > 0)).all()):
            raise ValueError(f"latent standard deviations must be positive and finite: {std.tolist()}; train longer")
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        return self.latent_mean[:, None, None], self.latent_std[:, None, None]
