"""The autoencoders of Stable Diffusion and latent diffusion, as diffusers and as CompVis name them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.interop.autoencoder_names import LAYOUTS, OLD_ATTENTION
from ldmlab.interop.family import (
    Component,
    Family,
    ImportHints,
    Parts,
    Settings,
    count,
    prefixed,
    read_setting,
    require_settings,
)
from ldmlab.interop.latent_scale import statistics_of
from ldmlab.interop.mapping import LINEAR, SAME, Link, Rules, rename
from ldmlab.interop.tensors import Tensors
from ldmlab.models.plain_data import shown

KL_SCALE = 0.18215
"""1 / the standard deviation of Stable Diffusion's latents; also what diffusers takes where a config gives none."""
STABLE_DIFFUSION = (4, 4)
"""Resolutions and latent channels of its autoencoder."""

STATISTICS = ("latent_mean", "latent_std")
COUNTS = ("codebook.frequency", "codebook.idle")
BETWEEN: Rules = (
    (r"^(to_moments|to_latents)\.", "quant_conv."),
    (r"^from_latents\.", "post_quant_conv."),
    (r"^codebook\.codes$", "quantize.embedding.weight"),
    (r"^decoder\.to_images\.", "decoder.conv_out."),
)


def _table(layout: str, linear: bool, extra: Rules = ()) -> Callable[[Parts], list[Link]]:
    """Links of a layout, in which attention may be `linear` layers."""
    down, up = LAYOUTS[layout]

    def table(parts: Parts) -> list[Link]:
        component = parts["autoencoder"]
        model: AutoencoderKL | AutoencoderVQ = component.outline
        sizes = _sizes(component)
        rules = [
            *_numbered("encoder", model.encoder.layers, down.encoder(*sizes)),
            *_numbered("decoder", model.decoder.layers, up.decoder(*sizes)),
            *BETWEEN,
            *down.inner,
            *extra,
        ]
        names = (name for name in model.state_dict() if name not in (*STATISTICS, *COUNTS))
        return prefixed("autoencoder", [Link((n,), (rename(n, rules),), _form(n, linear)) for n in names])

    return table


def _form(name: str, linear: bool) -> Any:
    return LINEAR if linear and ".to_" in name and name.endswith(".weight") and ".layers." in name else SAME


def _sizes(component: Component) -> tuple[int, int, list[int]]:
    """Resolutions, residual blocks in each, and which resolutions have attention."""
    levels = len(component.setting("multipliers"))
    attends = [i for i in range(levels) if 2**i in component.setting("attention_factors")]
    return levels, component.setting("residual_blocks"), attends


def _numbered(half: str, layers: nn.Sequential, names: Iterator[str]) -> Iterator[tuple[str, str]]:
    """A rule for each layer that has weights."""
    weighted = [i for i, layer in enumerate(layers) if next(layer.parameters(), None) is not None]
    for index, name in zip(weighted, names, strict=True):
        yield rf"^{half}\.layers\.{index}\.", f"{half}.{name}."


def _infer(layout: str) -> Callable[[Tensors, Settings, ImportHints], Parts]:
    """Infers an architecture from the shapes; from a config.json only what they do not tell."""
    names = LAYOUTS[layout][0]
    conv1 = f"encoder.{names.resolution(0, 0)}.{names.block}.{{}}.conv1.weight"

    def infer(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
        require_settings(tensors, settings, SUPPORTED)
        block = [f"encoder.{names.resolution(i, 0)}.{names.block}.0.conv1.weight" for i in range(_MOST_LEVELS)]
        levels = next((i for i, name in enumerate(block) if name not in tensors), _MOST_LEVELS)
        channels = tensors.shapes["encoder.conv_in.weight"][0]
        marks = [f"encoder.{names.resolution(i, 0)}.{names.attention}.0." for i in range(levels)]
        attends = [i for i, mark in enumerate(marks) if any(name.startswith(mark) for name in tensors)]
        latent_channels, inner = (
            tensors.shapes["post_quant_conv.weight"][1],
            tensors.shapes["post_quant_conv.weight"][0],
        )
        common = {
            "channels": channels,
            "multipliers": [tensors.shapes[name][0] // channels for name in block[:levels]],
            "residual_blocks": count(tensors, conv1),
            "latent_channels": latent_channels,
            "attention_factors": [2**i for i in attends],
            "norm_groups": read_setting(tensors, settings, "norm_num_groups") or 32,
        }
        is_vq = "quantize.embedding.weight" in tensors
        released = (levels, latent_channels) == STABLE_DIFFUSION
        known = 1.0 if is_vq and layout == "compvis" else KL_SCALE if released or settings else None
        scale = hints.unless("latent_scale", _stated_scale(tensors, settings), tensors.source) or known
        if scale is None:
            raise ValueError(
                f"path={tensors.source}: neither it nor a config tells the scale of its latents; give latent_scale, "
                "the factor that brings them to unit variance"
            )
        statistics = statistics_of(latent_channels, scale)
        if not is_vq:
            return {"autoencoder": Component(AutoencoderKL, common, constants=statistics)}
        codes = tensors.shapes["quantize.embedding.weight"][0]
        codebook = {"codes": codes, "encoder_channels": inner}
        unused = {"codebook.frequency": torch.zeros(codes), "codebook.idle": torch.zeros(codes, dtype=torch.long)}
        return {"autoencoder": Component(AutoencoderVQ, common | codebook, constants=statistics | unused)}

    return infer


def _stated_scale(tensors: Tensors, settings: Settings) -> float | None:
    """The factor that a file says itself.

    Raises:
        ValueError: it is no factor.
    """
    scale = settings.get("scaling_factor")
    if scale is not None and (type(scale) not in (int, float) or not 0 < scale < math.inf):
        raise ValueError(f"path={tensors.source}: has scaling_factor={shown(scale)}, where a number above 0 belongs")
    return scale


_MOST_LEVELS = 16


SUPPORTED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu",),
    "in_channels": (3,),
    "out_channels": (3,),
    "shift_factor": (None, 0),
    "latents_mean": (None,),
    "latents_std": (None,),
    "norm_type": ("group",),
    "lookup_from_codebook": (False,),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
    "mid_block_add_attention": (True,),
}
TRAINING_ONLY: Rules = (
    (r"loss\..*", "loss and discriminator of the autoencoder's training"),
    (r"quantize\.(embed_prob|cluster_size|embedding\.cluster_size).*", "counts of the codebook's use"),
    (r"model_ema\..*", "averages of the autoencoder's training"),
)


def _family(title: str, layout: str, kind: str, attention: str, extra: Rules = (), model: str = "") -> Family:
    first = LAYOUTS[layout][0].resolution(0, 0)
    block = LAYOUTS[layout][0].block
    marks = (f"encoder.{first}.{block}.0.norm1.weight", "post_quant_conv.weight", f"encoder.{attention}")
    return Family(
        title=f"{kind} autoencoder as {title}",
        marks=(*marks, "quantize.embedding.weight") if kind == "VQ" else marks,
        infer=_infer(layout),
        table=_table(layout, linear=layout == "diffusers", extra=extra),
        ignored=TRAINING_ONLY,
        model=model,
    )


AUTOENCODERS = tuple(
    family
    for kind, model in (("VQ", "VQModel"), ("KL", "AutoencoderKL"))
    for family in (
        _family("diffusers names it", "diffusers", kind, "mid_block.attentions.0.to_q.weight", model=model),
        _family(
            "diffusers once named it", "diffusers", kind, "mid_block.attentions.0.query.weight", OLD_ATTENTION, model
        ),
        _family("CompVis names it", "compvis", kind, "mid.attn_1.q.weight"),
    )
)
"""Those with a codebook first, because their marks are more."""
VQ_DIFFUSERS, KL_DIFFUSERS = AUTOENCODERS[0], AUTOENCODERS[3]
