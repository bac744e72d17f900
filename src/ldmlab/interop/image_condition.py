"""The picture that a public UNet reads beside its latents, told by how many channels it has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.none import NoCondition
from ldmlab.conditioners.super_resolution import SuperResolution
from ldmlab.interop.process_sections import ConfigSection

TEXT = "text."
"""Before the names of the other conditioner's tensors inside that of the picture."""


def around_text(
    conditioner: ConfigSection, state: Mapping[str, Tensor], channels: int, latent_channels: int, factor: int
) -> tuple[ConfigSection, dict[str, Tensor]] | None:
    """The config and the tensors of a picture's conditioner around those of the text's, or of none.

    Mask and masked latents are one channel more than the latents: in Stable Diffusion's order where there is text, else
    in latent diffusion's. Three channels are a small picture with a pixel for each cell of the grid.

    Args:
        conditioner: config of what reads the text.
        state: its tensors.
        channels: that the UNet reads beside the latents.
        latent_channels: those of the latents.
        factor: the autoencoder's.

    Returns:
        None where no conditioner gives that many channels.
    """
    if channels == latent_channels + 1:
        no_text = conditioner["_target_"] == target_of(NoCondition)
        picture: ConfigSection = {"_target_": target_of(Inpainting), "layout": "ldm" if no_text else "sd"}
    elif channels == 3:
        picture = {"_target_": target_of(SuperResolution), "factor": factor}
    else:
        return None
    return {**picture, "text": dict(conditioner)}, {f"{TEXT}{name}": tensor for name, tensor in state.items()}


def text_inside(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A model's config and tensors with the text's conditioner in place of that of inpainting around it.

    Raises:
        ValueError: its conditioner reads other pictures, or masks in another layout than Stable Diffusion's.
    """
    conditioner = config["conditioner"]
    if conditioner["_target_"] != target_of(Inpainting) or conditioner.get("layout") != "sd":
        raise ValueError(
            "format=diffusers: its pipelines read no pictures but masked ones in Stable Diffusion's layout; this model "
            f"has {conditioner['_target_'].rpartition('.')[2]}"
        )
    before = f"conditioner.{TEXT}"
    renamed = {
        name.replace(before, "conditioner.") if name.startswith(before) else name: t for name, t in state.items()
    }
    return {**config, "conditioner": conditioner["text"]}, renamed


def target_of(kind: type) -> str:
    """The `_target_` that names a class in a config."""
    return f"{kind.__module__}.{kind.__qualname__}"
