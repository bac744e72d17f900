"""What a whole model consists of and what a pass at batch 1 through each of its networks costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.counting.description import Description, describe
from ldmlab.counting.module_cost import count_values
from ldmlab.types import Conditioning

DENOISER = ("conditioner", "backbone")
"""The networks that latent diffusion trains."""


@dataclass(frozen=True)
class ModelDescription:
    """A model, described.

    Attributes:
        kind: "autoencoder" or "latent_diffusion".
        image_size: side of the images in pixels.
        latent_shape: C, H, W.
        passes: what a pass at batch 1 through each of its networks runs.
        modules: the networks themselves, each once.
        text_tokens: L, the length of the context; None where there is none.
        experiment: the name of the settings that its sizes come from, if they have one.
    """

    kind: str
    image_size: int
    latent_shape: tuple[int, int, int]
    passes: dict[str, Description]
    modules: dict[str, nn.Module]
    text_tokens: int | None = None
    experiment: str | None = None

    @property
    def image_tokens(self) -> tuple[int, ...]:
        """N, for each grid that the backbone attends on."""
        return self.passes["backbone"].tokens if "backbone" in self.passes else ()

    @property
    def totals(self) -> dict[str, int]:
        """Figures by name, of all networks."""
        return _totals(self.modules.values(), self.passes.values())

    @property
    def denoiser(self) -> dict[str, int] | None:
        """The description of backbone and conditioner alone, as papers count a model; None where there are none."""
        if not {*DENOISER} <= {*self.modules}:
            return None
        return _totals([self.modules[name] for name in DENOISER], [self.passes[name] for name in DENOISER])


def describe_autoencoder(
    autoencoder: Autoencoder,
    image_size: int,
    dtype: torch.dtype = torch.float32,
    discriminator: nn.Module | None = None,
) -> ModelDescription:
    """Encoding and decoding one image, and what judges it in training. Nothing is computed; see `describe`.

    Args:
        autoencoder: on any device, the meta device too.
        image_size: side of the image in pixels.
        dtype: of weights and activations, for the activations' bytes.
        discriminator: of its training, if it has one.

    Raises:
        ValueError: the autoencoder's factor does not divide the image.
    """
    image = torch.empty(1, 3, image_size, image_size, device="meta")
    encoding = describe(autoencoder, image, method="encode", dtype=dtype)
    side = image_size // autoencoder.factor
    latent_shape = (autoencoder.latent_channels, side, side)
    decoding = describe(autoencoder, _latents(latent_shape), method="decode", dtype=dtype)
    passes = {"autoencoder.encode": encoding, "autoencoder.decode": decoding}
    modules: dict[str, nn.Module] = {"autoencoder": autoencoder}
    if discriminator is not None:
        passes["discriminator"] = describe(discriminator, image, dtype=dtype)
        modules["discriminator"] = discriminator
    return ModelDescription("autoencoder", image_size, latent_shape, passes, modules)


def describe_latent_diffusion(
    autoencoder: ModelDescription, conditioner: Conditioner, backbone: nn.Module, dtype: torch.dtype = torch.float32
) -> ModelDescription:
    """Conditioning and one step of denoising, before the passes of the autoencoder. Nothing is computed.

    Args:
        autoencoder: described, for images of the model's size.
        conditioner: placed on the autoencoder's latents; on any device.
        backbone: made for these latents and this conditioner; on any device.
        dtype: of weights and activations, for the activations' bytes.
    """
    conditioner.prepare([""])
    cond = _with_concat(conditioner.null(1), backbone, autoencoder.latent_shape[1])
    latents, timesteps = _latents(autoencoder.latent_shape), torch.zeros(1, dtype=torch.long)
    passes = {
        "conditioner": describe(conditioner, 1, method="null", dtype=dtype),
        "backbone": describe(backbone, latents, timesteps, cond, dtype=dtype),
    }
    return replace(
        autoencoder,
        kind="latent_diffusion",
        passes=passes | autoencoder.passes,
        modules={"conditioner": conditioner, "backbone": backbone} | autoencoder.modules,
        text_tokens=None if cond.context is None else cond.context.shape[1],
    )


def _with_concat(cond: Conditioning, backbone: nn.Module, grid: int) -> Conditioning:
    """A condition with the channels that the backbone expects beside the latents, whoever will give them."""
    channels = getattr(backbone, "concat_channels", 0)
    if not channels or cond.concat is not None:
        return cond
    return replace(cond, concat=torch.empty(1, channels, grid, grid, device="meta"))


def _latents(shape: tuple[int, int, int]) -> Tensor:
    return torch.empty(1, *shape, device="meta")


def _totals(modules: Iterable[nn.Module], passes: Iterable[Description]) -> dict[str, int]:
    """Parameters of networks, each counted once, and the cost of one pass through each."""
    trainable, frozen, buffers = map(sum, zip(*map(count_values, modules), strict=True))
    macs, kept = map(sum, zip(*((each.root.macs, each.root.activation_bytes) for each in passes), strict=True))
    return {
        "parameters": trainable + frozen + buffers,
        "trainable": trainable,
        "frozen": frozen,
        "buffers": buffers,
        "macs": macs,
        "flops": 2 * macs,
        "activation_bytes": kept,
    }
