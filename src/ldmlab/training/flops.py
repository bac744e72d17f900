"""Floating-point operations that training takes for an image, by our own count of a forward pass.

A trained network takes three times its forward pass: the backward pass computes the gradients of features and of
weights, each as many operations again (Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B). A frozen
network takes one pass, and two where gradients go through it. What activation checkpointing computes once more is told
apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.perceptual import LpipsLoss, PerceptualLoss
from ldmlab.compiling import as_written
from ldmlab.counting.passes import Pass
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

TRAINED, THROUGH, FROZEN = 3, 2, 1
"""Forward passes' worth of a step: of a network that learns, of one that gradients pass through, and of neither."""


def training_flops(module: L.LightningModule, batch: Mapping[str, Any]) -> dict[str, int]:
    """Operations for one image of a batch, by part of the model. The module is left as it was.

    Raises:
        ValueError: a module that is none of ldmlab's.
    """
    with as_written():
        if isinstance(module, LatentDiffusionTraining):
            return latent_diffusion_flops(module.outline or module.model, batch)
        if isinstance(module, AutoencoderTraining):
            return autoencoder_flops(module, batch, is_adversarial(module))
    raise ValueError(f"{type(module).__name__}: its operations cannot be counted")


def recomputed_flops(module: L.LightningModule, parts: Mapping[str, int]) -> int:
    """Operations for one image that activation checkpointing repeats, at most: the backbone's forward pass, or none.

    Args:
        module: what is trained.
        parts: what `training_flops` gave for it.
    """
    if not isinstance(module, LatentDiffusionTraining):
        return 0
    return parts["backbone"] // TRAINED if getattr(module.model.denoiser.backbone, "checkpointing", False) else 0


def is_adversarial(module: L.LightningModule) -> bool:
    """Whether a discriminator takes part at this step."""
    if not isinstance(module, AutoencoderTraining) or module.discriminator is None:
        return False
    return module.global_step >= module.discriminator_start


def latent_diffusion_flops(model: LatentDiffusion, batch: Mapping[str, Any]) -> dict[str, int]:
    """Backbone and conditioner, and the frozen autoencoder as often as it encodes: never where latents are cached."""
    autoencoder, conditioner, backbone = model.autoencoder, model.conditioner, model.denoiser.backbone
    cached, factor = "moments" in batch, autoencoder.factor
    grid = batch["moments"].shape[-2:] if cached else [side // factor for side in batch["images"].shape[-2:]]
    with torch.no_grad():
        cond = conditioner.null(1)
    if conditioner.concat_channels:
        cond = replace(cond, concat=torch.empty(1, conditioner.concat_channels, *grid, device="meta"))
    latents = torch.empty(1, autoencoder.latent_channels, *grid, device="meta")
    images = torch.empty(1, 3, *(side * factor for side in grid), device="meta")
    encodings = (not cached) + conditioner.encodes
    return _without_zeros(
        {
            "backbone": TRAINED * _forward(backbone, latents, torch.zeros(1, dtype=torch.long), cond),
            "conditioner": (TRAINED if _learns(conditioner) else FROZEN) * _forward(conditioner, 1, method="null"),
            "autoencoder": FROZEN * encodings * _forward(autoencoder, images, method="moments") if encodings else 0,
        }
    )


def autoencoder_flops(training: AutoencoderTraining, batch: Mapping[str, Any], adversarial: bool) -> dict[str, int]:
    """Autoencoder, perceptual network and, once it has started, the discriminator.

    The perceptual network sees image and reconstruction. The discriminator judges the reconstruction, with gradients
    through it, and then learns from both; the adaptive weight takes gradients back to the decoder once more.
    """
    images = torch.empty(1, *batch["images"].shape[1:], device="meta")
    grid = [side // training.autoencoder.factor for side in images.shape[-2:]]
    latents = torch.empty(1, training.autoencoder.latent_channels, *grid, device="meta")
    encoding = _forward(training.autoencoder, images, method="posterior")
    decoding = _forward(training.autoencoder, latents, method="reconstruct")
    parts = {"autoencoder": TRAINED * (encoding + decoding)}
    if training.loss.perceptual_weight:
        parts["perceptual"] = (FROZEN + THROUGH + adversarial) * _perceptual(training.loss.perceptual, images)
    if adversarial and training.discriminator is not None:
        parts["discriminator"] = (THROUGH + 1 + 2 * TRAINED) * _forward(training.discriminator, images)
    return _without_zeros(parts)


def _perceptual(distance: object, images: Tensor) -> int:
    """Of one picture of the two that are compared; 0 for a distance that is none of ldmlab's."""
    if isinstance(distance, PerceptualLoss):
        return _forward(distance.network, images, method="stages")
    return _forward(distance.network, images, images) // 2 if isinstance(distance, LpipsLoss) else 0


def _forward(module: nn.Module, *inputs: Any, method: str = "forward") -> int:
    return Pass(module, inputs, method).flops()[Pass.ROOT]


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _without_zeros(parts: dict[str, int]) -> dict[str, int]:
    return {name: flops for name, flops in parts.items() if flops}
