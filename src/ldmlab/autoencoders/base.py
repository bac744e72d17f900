"""What every autoencoder is to the rest: images to latents of unit variance and back, and a pass to train on.

Shapes: B batch, C latent channels, H x W latent grid, f downsampling factor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.autoencoders.blocks import Decoder, Encoder
from ldmlab.draws import Draws


class Posterior(Protocol):
    """What the encoder says of raw latents: a distribution for every latent, before normalisation."""

    @property
    def mean(self) -> Float[Tensor, "B C H W"]:
        """Mean of every raw latent."""

    @property
    def std(self) -> Float[Tensor, "B C H W"]:
        """Standard deviation of every raw latent; 0 where the encoder is sure."""

    def sample(self, draws: Draws | None = None) -> Float[Tensor, "B C H W"]:
        """Draw raw latents from the distribution; from PyTorch's own generator if no `draws` are given."""


@dataclass(frozen=True)
class Reconstruction:
    """Images that went through the bottleneck as in training.

    Attributes:
        images: the reconstructions.
        posterior: of the raw latents, for their statistics.
        terms: of the loss, besides reconstruction: "kl" or "codebook". Training weighs them by name.
        figures: to be logged.
    """

    images: Float[Tensor, "B 3 fH fW"]
    posterior: Posterior
    terms: Mapping[str, Float[Tensor, ""]]
    figures: Mapping[str, Tensor] = field(default_factory=dict)


class Autoencoder(nn.Module, ABC):
    """Encoder, bottleneck, decoder. Latents outside have mean 0 and variance 1 in every channel.

    The statistics for that are buffers, set by `set_statistics` and saved with the weights.

    Args:
        latent_channels: C.
        factor: f.
    """

    keeps_fp32: ClassVar[bool] = True
    """Its statistics stay when weights are made half."""
    encoder: Encoder
    decoder: Decoder
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, latent_channels: int, factor: int) -> None:
        super().__init__()
        if factor < 1 or latent_channels < 1:
            raise ValueError(
                f"autoencoder: a factor of {factor} and {latent_channels} latent channels; give 1 at least"
            )
        self.latent_channels = latent_channels
        self.factor = factor
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    @abstractmethod
    def forward(self, images: Float[Tensor, "B 3 fH fW"], draws: Draws | None = None) -> Reconstruction:
        """The pass that training takes, with its noise or its gradient's detours.

        Args:
            images: in [-1, 1].
            draws: for them, of whatever is random; from PyTorch's own generator if not given.

        Raises:
            ValueError: the factor does not divide the images' sides.
        """

    @abstractmethod
    def posterior(self, images: Float[Tensor, "B 3 fH fW"]) -> Posterior:
        """The distribution of raw latents given images in [-1, 1].

        Raises:
            ValueError: the factor does not divide the images' sides.
        """

    @abstractmethod
    def reconstruct(self, raw: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Decode raw latents, as `posterior` gives them, to fp32 at least."""

    def programs(self) -> list[nn.Module]:
        """The modules that are compiled.

        The last layer is none of them: an adversarial loss takes gradients with respect to it alone.
        """
        return [self.encoder, self.decoder.layers]

    def moments(self, images: Float[Tensor, "B 3 fH fW"]) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]:
        """Mean and standard deviation of the normalised latents."""
        raw = self.posterior(images)
        mean, std = self._statistics()
        return (raw.mean - mean) / std, raw.std / std

    def encode(self, images: Float[Tensor, "B 3 fH fW"]) -> Float[Tensor, "B C H W"]:
        """Draw latents of unit variance from the encoder's distribution, given images in [-1, 1]."""
        mean, std = self._statistics()
        return (self.posterior(images).sample() - mean) / std

    def decode(self, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 fH fW"]:
        """Images, about in [-1, 1], from latents of unit variance."""
        mean, std = self._statistics()
        return self.reconstruct(latents * std + mean)

    def set_statistics(self, mean: Float[Tensor, " C"], std: Float[Tensor, " C"]) -> None:
        """Set the mean that `encode` subtracts and the standard deviation that it divides by, channel by channel.

        Raises:
            ValueError: a standard deviation is zero, negative or not finite.
        """
        if not bool((torch.isfinite(std) & (std > 0)).all()):
            raise ValueError(f"latent standard deviations must be positive and finite: {std.tolist()}; train longer")
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    def _require_divisible(self, images: Tensor) -> None:
        height, width = images.shape[-2:]
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"the autoencoder's factor {self.factor} does not divide images of {height}x{width}; "
                f"set data.image_size to a multiple of {self.factor}"
            )

    def _statistics(self) -> tuple[Tensor, Tensor]:
        return self.latent_mean[:, None, None], self.latent_std[:, None, None]
