"""What the keys `precision` and `compile` make of the networks of commands that draw and measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig
from torch import nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.compiling import compile_networks, pays
from ldmlab.configs.build import build_drawing
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision, choose_precision, half_weights, lay_out, pick_device


def pick_precision(cfg: DictConfig) -> Precision:
    """Where a command that draws computes, and in what.

    Raises:
        ValueError: there is no such device, or it has no such arithmetic.
    """
    return choose_precision(cfg.precision, pick_device(cfg.device))


def ready_to_draw(cfg: DictConfig, model: LatentDiffusion, seeds: Sequence[int], count: int | None = None) -> Drawing:
    """How a model that was loaded for it draws, whose networks are made to compute as the keys say, for good.

    Args:
        cfg: of a command that draws.
        model: on its device.
        seeds: see `Drawing`.
        count: pictures in all, if more are drawn than there are seeds.

    Raises:
        ValueError: the sampler, the guidance or the precision does not go with the model or the device.
    """
    precision = choose_precision(cfg.precision, model.device)
    drawing = build_drawing(cfg, model, seeds, precision)  # which compares weights that are as they were stored
    _settle(model, precision)
    networks: list[nn.Module] = [model.denoiser.backbone, model.autoencoder.decoder.layers]
    if isinstance(drawing.guidance, Autoguidance):
        _settle(drawing.guidance, precision)
        networks.append(drawing.guidance.denoiser.backbone)
    count = len(seeds) if count is None else count
    batches = -(-count // drawing.rows(model))
    if not pays(cfg.compile, model.device, batches * drawing.sampler.steps):
        return drawing
    compile_networks(networks)
    return replace(drawing, compiled=True, batch_size=min(drawing.batch_size, max(1, count)))  # which are filled up


def ready_to_measure(cfg: DictConfig, model: LatentDiffusion | Autoencoder, passes: int) -> Precision:
    """The same of a model that draws nothing: a bound's denoiser, or an autoencoder. Returns what it computes in.

    Args:
        cfg: of a command that draws.
        model: on its device.
        passes: of the denoiser, or of the autoencoder.
    """
    autoencoder = model if isinstance(model, Autoencoder) else model.autoencoder
    precision = choose_precision(cfg.precision, autoencoder.latent_mean.device)
    _settle(model, precision)
    if pays(cfg.compile, precision.device, passes):
        compile_networks([model if isinstance(model, Autoencoder) else model.denoiser.backbone])
    return precision


def _settle(network: nn.Module, precision: Precision) -> None:
    """Round the weights, and lay convolutions out."""
    network.to(precision.device)
    if precision.is_half:
        half_weights(network, precision.dtype)
    lay_out(network, precision)
