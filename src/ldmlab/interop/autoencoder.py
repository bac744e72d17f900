"""The autoencoders of Stable Diffusion and latent diffusion, as diffusers and as CompVis name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ldmlab.autoencoders import blocks
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.interop.family import Component, Family, Hints, Parts, Settings, count, prefixed, require_settings
from ldmlab.interop.mapping import LINEAR, SAME, Link, Rules, rename
from ldmlab.interop.tensors import Tensors

SCALE = 0.18215
"""1 / the standard deviation of Stable Diffusion's latents; also the default of diffusers."""

_CONVOLUTIONS: Rules = ((r"^to_moments\.", "quant_conv."), (r"^from_latents\.", "post_quant_conv."))


@dataclass(frozen=True)
class Names:
    """How a layout calls what stands in an encoder or decoder of so many resolutions: i counts from the image down.

    Attributes:
        block: residual block j of resolution i.
        attention: after that block.
        resample: of resolution i.
        middle: the blocks and the attention of the middle, in order.
        norm: the last one.
        inner: rules for names inside a residual block or an attention.
    """

    block: Callable[[str, int, int], str]
    attention: Callable[[str, int, int], str]
    resample: Callable[[str, int], str]
    middle: tuple[str, str, str]
    norm: str
    inner: Rules


_COMMON: Rules = ((r"branch\.0\.", "norm1."), (r"branch\.2\.", "conv1."), (r"branch\.3\.", "norm2."), (r"branch\.5\.", "conv2."))


def _compvis(levels: int) -> Names:
    side = {"encoder": "down", "decoder": "up"}
    return Names(
        block=lambda half, i, j: f"{side[half]}.{i}.block.{j}.",
        attention=lambda half, i, j: f"{side[half]}.{i}.attn.{j}.",
        resample=lambda half, i: f"{side[half]}.{i}.{side[half]}sample.",
        middle=("mid.block_1.", "mid.attn_1.", "mid.block_2."),
        norm="norm_out.",
        inner=(*_COMMON, (r"skip\.", "nin_shortcut."), (r"to_out\.", "proj_out."), (r"to_([qkv])\.", r"\1.")),
    )


def _diffusers(levels: int) -> Names:
    def place(half: str, i: int) -> str:
        return f"down_blocks.{i}." if half == "encoder" else f"up_blocks.{levels - 1 - i}."

    side = {"encoder": "downsamplers.0.", "decoder": "upsamplers.0."}
    return Names(
        block=lambda half, i, j: f"{place(half, i)}resnets.{j}.",
        attention=lambda half, i, j: f"{place(half, i)}attentions.{j}.",
        resample=lambda half, i: f"{place(half, i)}{side[half]}",
        middle=("mid_block.resnets.0.", "mid_block.attentions.0.", "mid_block.resnets.1."),
        norm="conv_norm_out.",
        inner=(*_COMMON, (r"skip\.", "conv_shortcut."), (r"to_out\.", "to_out.0."), (r"^norm\.", "group_norm.")),
    )


def _old_diffusers(levels: int) -> Names:
    """Before version 0.17, attention had other names; the folders of Stable Diffusion 1.x still have them."""
    names = _diffusers(levels)
    old: Rules = ((r"to_q\.", "query."), (r"to_k\.", "key."), (r"to_v\.", "value."), (r"to_out\.0\.", "proj_attn."))
    return Names(names.block, names.attention, names.resample, names.middle, names.norm, (*names.inner, *old))


def _layers(half: str, layers: nn.Sequential, levels: int, names: Names) -> Iterator[tuple[str, str]]:
    """The prefix of each layer of an encoder or decoder, and what the layout calls it."""
    down = half == "encoder"
    level, block, middle = (0 if down else levels - 1), 0, iter(names.middle)
    attends_next = [isinstance(layer, blocks.PositionAttention) for layer in [*layers][1:]] + [False]
    at_middle = not down
    left = 3
    for index, layer in enumerate(layers):
        own = f"{half}.layers.{index}."
        if isinstance(layer, nn.Conv2d):
            yield own, "conv_in." if index == 0 else "conv_out."
        elif isinstance(layer, nn.GroupNorm):
            yield own, names.norm
