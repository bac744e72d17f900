"""What the networks of a model that draws or is measured compute in, and whether they are compiled.

Both change a model for good, in place: halves forget what they were rounded from.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.compiling import compile_networks, worth_compiling
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision, half_weights, lay_out

Compile = bool | Literal["auto"]
"""Whether networks are compiled; "auto" where it pays, see `compiling.pays`."""


def ready_to_draw(
    model: LatentDiffusion, drawing: Drawing, compile: Compile = "auto", count: int | None = None
) -> Drawing:
    """Make a model's networks compute as a drawing says, and return how they draw from then on.

    Args:
        model: on its device.
        drawing: with its precision, for this model; its guidance compared what it had to compare with stored weights.
        compile: see `Compile`.
        count: pictures in all, if more are drawn than `drawing` has seeds.
    """
    networks: list[nn.Module] = [model.denoiser.backbone, model.autoencoder.decoder.layers]
    _settle(model, drawing.precision)
    if isinstance(drawing.guidance, Autoguidance):
        _settle(drawing.guidance, drawing.precision)
        networks.append(drawing.guidance.denoiser.backbone)
    count = len(drawing.seeds) if count is None else count
    batches = -(-count // drawing.rows(model))
    if not worth_compiling(compile, model.device, batches * drawing.sampler.steps):
        return drawing
    compile_networks(networks)
    return replace(drawing, compiled=True, batch_size=min(drawing.batch_size, max(1, count)))  # which are filled up


def ready_to_measure(model: LatentDiffusion | Autoencoder, precision: Precision, compile: Compile, passes: int) -> None:
    """Make a model compute as its precision says where nothing is drawn: a bound's denoiser, or an autoencoder."""
    _settle(model, precision)
    if worth_compiling(compile, precision.device, passes):
        compile_networks([model if isinstance(model, Autoencoder) else model.denoiser.backbone])


def peak_memory(device: torch.device) -> str:
    """The most memory that this process has held, on its GPU or, without one, in all; in words."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on the GPU"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def _settle(network: nn.Module, precision: Precision | None) -> None:
    """Round the weights, and lay convolutions out; without a precision all stay as they are."""
    if precision is None:
        return
    network.to(precision.device)
    if precision.is_half:
        half_weights(network, precision.dtype)
    lay_out(network, precision)
