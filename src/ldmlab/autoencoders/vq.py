"""Autoencoder whose latents are the nearest vectors of a codebook (Esser et al. 2021, Rombach et al. 2022).

The diffusion model works on latents before quantisation; the decoder quantises first (Rombach et al., section 3.1).
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
from ldmlab.autoencoders.codebook import VectorQuantizer, perplexity
from ldmlab.draws import Draws
from ldmlab.precision import at_least_fp32


@dataclass(frozen=True)
class PointPosterior:
    """A posterior without spread: the latents before quantisation."""

    mean: Float[Tensor, "B C H W"]

    @property
    def std(self) -> Float[Tensor, "B C H W"]:
        """0 for every latent."""
        return torch.zeros_like(self.mean)

    def sample(self, draws: Draws | None = None) -> Float[Tensor, "B C H W"]:
        """The latents themselves, which is all that can be drawn."""
        return self.mean


class AutoencoderVQ(Autoencoder):
    """Encoder, codebook, decoder.

    Args:
        channels: features at the highest resolution.
        multipliers: features at each resolution as multiples of `channels`; f = patch * 2^(len - 1).
        residual_blocks: residual blocks a resolution in the encoder.
        latent_channels: C, the length of a code (`embed_dim` in the papers' configs).
        encoder_channels: what the encoder returns and the decoder takes (`z_channels`); None for C.
        attention_factors: downsampling factors with attention besides the middle.
        norm_groups: groups of every group norm.
        patch: side of the pixel patches taken as one position at the start; 1 in the papers, more is cheaper.
        codes: vectors in the codebook (`n_embed`).
        commitment: weight of the term that pulls latents to their codes.
        restart_after: batches without use after which a code is moved onto a latent vector; None for never.
    """

    def __init__(
        self,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        residual_blocks: int = 2,
        latent_channels: int = 3,
        encoder_channels: int | None = None,
        attention_factors: Sequence[int] = (),
        norm_groups: int = 32,
        patch: int = 1,
        codes: int = 8192,
        commitment: float = 0.25,
        restart_after: int | None = None,
    ) -> None:
        super().__init__(latent_channels, patch * 2 ** (len(multipliers) - 1))
        inner = latent_channels if encoder_channels is None else encoder_channels
        common = (channels, multipliers, residual_blocks, inner, attention_factors, norm_groups, patch)
        self.encoder = Encoder(*common)
        self.to_latents = nn.Conv2d(inner, latent_channels, 1)
        self.codebook = VectorQuantizer(codes, latent_channels, commitment, restart_after)
        self.from_latents = nn.Conv2d(latent_channels, inner, 1)
        self.decoder = Decoder(*common)

    def forward(self, images: Float[Tensor, "B 3 fH fW"], draws: Draws | None = None) -> Reconstruction:
        """Reconstruct with a straight-through gradient; the term "codebook" is the mean over latents."""
        posterior = self.posterior(images)
        quantized = self.codebook(posterior.mean, draws)
        figures = {"perplexity": perplexity(self.codebook.frequency), "dead_codes": self.codebook.dead.float()}
        return Reconstruction(self._render(quantized.latents), posterior, {"codebook": quantized.loss}, figures)

    def posterior(self, images: Float[Tensor, "B 3 fH fW"]) -> PointPosterior:
        """The raw latents of images in [-1, 1], before quantisation.

        Raises:
            ValueError: the factor does not divide the images' sides.
        """
        self._require_divisible(images)
        return PointPosterior(at_least_fp32(self.to_latents(self.encoder(images.to(self.to_latents.weight.dtype)))))

    def reconstruct(self, raw: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Quantise and decode raw latents, as `posterior` gives them."""
        return self._render(self.codebook.lookup(self.codebook.nearest(raw)))

    def _render(self, quantized: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        return at_least_fp32(self.decoder(self.from_latents(quantized.to(self.from_latents.weight.dtype))))
