"""Guidance that brings a network of its own, made to go with the model that it leads."""

from __future__ import annotations

from ldmlab.conditioners.base import Conditioner
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.models.fingerprint import state_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion


def fit_guidance(guidance: Guidance, model: LatentDiffusion, latents: str | None = None) -> Guidance:
    """The guidance, which goes with the model, on whatever device that comes to be.

    Args:
        guidance: of any kind.
        model: that it leads.
        latents: digest of the model's autoencoder as it is stored; None to take it from the weights that it has.

    Raises:
        ValueError: it does not, or it brings a second model, which works on other latents.
    """
    guidance.check(model.denoiser, model.latent_shape[0], model.conditioner.says_something)
    if not isinstance(guidance, Autoguidance):
        return guidance
    if guidance.latents != (latents or state_sha256(model.autoencoder)):
        raise ValueError(
            "guidance.ckpt: works on the latents of another autoencoder; give a weaker model that was trained with the "
            "same autoencoder_ckpt"
        )
    if isinstance(guidance.conditioner, Conditioner):  # both share one autoencoder
        guidance.conditioner.place(model.autoencoder, model.latent_shape[1])
    return guidance
