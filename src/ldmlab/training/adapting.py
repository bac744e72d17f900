"""A run that trains an adapter alone, beside the frozen weights of the model that `init_ckpt` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmlab.adapters.base import train_adapter_alone
from ldmlab.models.adapters import adapt, begin_adapter, image_size
from ldmlab.models.build import Make
from ldmlab.models.component import build_component
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion


def adapter_to_train(
    section: Mapping[str, Any],
    init_ckpt: str | None,
    size: int,
    adapter_ckpt: str | None = None,
    make: Make = build_component,
) -> tuple[LatentDiffusion, dict[str, Any]]:
    """A trained model of which only a new adapter learns, and the config of the adapter's files.

    Args:
        section: the adapter's plain config.
        init_ckpt: the model, a file or the name of one that comes with ldmlab.
        size: side of the training pictures in pixels.
        adapter_ckpt: a file whose weights the adapter begins with; None for one that does nothing yet.
        make: builds the section.

    Raises:
        ValueError: there is no such model, it draws pictures of another size, or the adapter does not go with it.
    """
    if init_ckpt is None:
        raise ValueError("adapter: there is no model to adapt; give init_ckpt= of a trained one, such as shapes/dit")
    try:
        model = load_latent_diffusion(init_ckpt).model
    except ValueError as error:
        raise ValueError(str(error).replace("ckpt=", "init_ckpt=", 1)) from error
    if size != image_size(model):
        raise ValueError(
            f"data.image_size={size}: init_ckpt={init_ckpt} draws pictures of {image_size(model)} px, and an adapter "
            f"leaves that as it is; use data.image_size={image_size(model)}"
        )
    config = adapt(model, section, init_ckpt, make)
    if adapter_ckpt is not None:
        begin_adapter(model, adapter_ckpt)
    train_adapter_alone(model)
    model.denoiser.train()
    return model, config
