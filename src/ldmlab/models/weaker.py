"""A weaker model from a file, to guide by."""

from __future__ import annotations

from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.models.fingerprint import state_sha256
from ldmlab.models.loading import load_latent_diffusion


def autoguidance(scale: float, ckpt: str) -> Autoguidance:
    """Guidance by the model in a file; the target of `guidance=autoguidance`.

    Args:
        scale: 1 is neutral.
        ckpt: the weaker model, on the same latents.
    """
    weak = load_latent_diffusion(ckpt).model
    return Autoguidance(scale, weak.denoiser, weak.conditioner, state_sha256(weak.autoencoder))
