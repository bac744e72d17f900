"""Autoencoder with a Gaussian latent, slightly regularised towards N(0, 1) (Rombach et al. 2022, appendix G).

Shapes: B batch, C latent channels, H x W latent grid, f downsampling factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder, Reconstruction
from ldmlab.autoencoders.blocks import Decoder, Encoder
from ldmlab.draws import Draws
from ldmlab.precision import at_least_fp32


@dataclass(frozen=True)
class DiagonalGaussian:
    """A normal distribution for every latent, as the encoder gives it, before normalisation."""

    mean: Float[Tensor, "B C H W"]
    log_variance: Float[Tensor, "B C H W"]

    @property
    def std(self) -> Float[Tensor, "B C H W"]:
        """Standard deviation of every raw latent."""
        return (0.5 * self.log_variance).exp()

    def sample(self, draws: Draws | None = None) -> Float[Tensor, "B C H W"]:
        """Draw raw latents, as mean + std z with z ~ N(0, 1), so that gradients reach both."""
        noise = torch.randn_like(self.mean) if draws is None else draws.randn_like(self.mean)
        return self.mean + self.std * noise

    def kl(self) -> Float[Tensor, " B"]:
        """KL divergence from N(0, 1) in nats, summed over a sample's latents."""
        terms = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * terms.flatten(1).sum(dim=1)


class AutoencoderKL(Autoencoder):
    """Encoder, Gaussian latent, decoder.

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
        super().__init__(latent_channels, patch * 2 ** (len(multipliers) - 1))
        common = (channels, multipliers, residual_blocks)
        rest = (attention_factors, norm_groups, patch)
        self.encoder = Encoder(*common, 2 * latent_channels, *rest)
        self.to_moments = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        if self.to_moments.bias is not None:
            nn.init.constant_(self.to_moments.bias[latent_channels:], initial_log_variance)
        self.from_latents = nn.Conv2d(latent_channels, latent_channels, 1)
        self.decoder = Decoder(*common, latent_channels, *rest)

    def forward(self, images: Float[Tensor, "B 3 fH fW"], draws: Draws | None = None) -> Reconstruction:
        """Reconstruct from a draw; the term "kl" is the divergence from N(0, 1), averaged over the batch."""
        posterior = self.posterior(images)
        return Reconstruction(self.reconstruct(posterior.sample(draws)), posterior, {"kl": posterior.kl().mean()})

    def posterior(self, images: Float[Tensor, "B 3 fH fW"]) -> DiagonalGaussian:
        """The distribution of raw latents given images in [-1, 1].

        Raises:
            ValueError: the factor does not divide the images' sides.
        """
        self._require_divisible(images)
        moments = self.to_moments(self.encoder(images.to(self.to_moments.weight.dtype)))
        mean, log_variance = at_least_fp32(moments).chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance.clamp(-30, 20))

    def reconstruct(self, raw: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Decode raw latents, as `posterior` gives them."""
        return at_least_fp32(self.decoder(self.from_latents(raw.to(self.from_latents.weight.dtype))))
