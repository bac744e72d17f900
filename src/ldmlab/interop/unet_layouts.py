"""The architecture of a UNet of Stable Diffusion or latent diffusion, read from the shapes of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ldmlab.backbones.unet import UNet
from ldmlab.interop.family import Component, Family, ImportHints, Parts, Settings, count, read_setting, require_settings
from ldmlab.interop.tensors import Tensors
from ldmlab.interop.unet_tables import compvis_table, diffusers_table
from ldmlab.models.plain_data import shown


@dataclass(frozen=True)
class ShapeNames:
    """Where a layout keeps the tensors whose shapes tell the architecture: block j of resolution i on the way down."""

    into: str
    out: str
    middle: str
    levels: int
    blocks: int
    residual: Callable[[int, int], str]
    attention: Callable[[int, int], str]
    embedding: str


def infer_diffusers(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    """The architecture, from shapes and a config.json, whose `attention_head_dim` means the number of heads here.

    Raises:
        ValueError: the config.json asks for what ours does not do, or the shapes are those of another network.
    """
    require_settings(tensors, settings, _SUPPORTED)
    names = ShapeNames(
        into="conv_in.weight",
        out="conv_out.weight",
        middle="mid_block.attentions.0.",
        levels=count(tensors, "down_blocks.{}.resnets.0.conv1.weight"),
        blocks=count(tensors, "down_blocks.0.resnets.{}.conv1.weight"),
        residual=lambda i, j: f"down_blocks.{i}.resnets.{j}.conv1.weight",
        attention=lambda i, j: f"down_blocks.{i}.attentions.{j}.",
        embedding="down_blocks.0.resnets.0.time_emb_proj.weight",
    )
    extra = _given_heads(tensors, settings)
    grid = read_setting(tensors, settings, "sample_size")
    if grid is not None:
        extra["grid"] = grid
    return _infer(tensors, names, hints, extra)


def _given_heads(tensors: Tensors, settings: Settings) -> dict[str, Any]:
    """What a config.json says; diffusers takes `attention_head_dim` for the number of heads where there is no other."""
    given = settings.get("num_attention_heads") or settings.get("attention_head_dim")
    numbers = given if isinstance(given, list) else [given]
    if given and not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(
            f"path={tensors.source}: its config has attention_head_dim={shown(given)}, no numbers of heads"
        )
    if isinstance(given, list):
        widths = {f / heads for f, heads in zip(settings.get("block_out_channels", given), given, strict=True)}
        if len(set(given)) > 1 and len(widths) == 1:
            return {"heads": None, "head_width": int(widths.pop())}
        if len(set(given)) > 1:
            raise ValueError(f"path={tensors.source}: attention_head_dim={given} differs from resolution to resolution")
        given = given[0]
    return {"heads": given, "head_width": None} if given else {}


def infer_compvis(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    """The architecture, from shapes alone: the decoder's first change of resolution tells the residual blocks.

    Raises:
        ValueError: the shapes are those of another network, or do not tell how heads are split and no hint does.
    """
    stages = count(tensors, "output_blocks.{}.0.in_layers.2.weight")
    by_convolution = _first(stages, "output_blocks.{}.{}.conv.weight", tensors)
    by_residual = _first(stages, "output_blocks.{}.{}.in_layers.2.weight", tensors)
    blocks = min(by_convolution, by_residual)
    names = ShapeNames(
        into="input_blocks.0.0.weight",
        out="out.2.weight",
        middle="middle_block.1.",
        levels=stages // (blocks + 1),
        blocks=blocks,
        residual=lambda i, j: f"input_blocks.{1 + i * (blocks + 1) + j}.0.in_layers.2.weight",
        attention=lambda i, j: f"input_blocks.{1 + i * (blocks + 1) + j}.1.",
        embedding="input_blocks.1.0.emb_layers.1.weight",
    )
    extra = {"residual_resampling": by_residual < by_convolution}
    return _infer(tensors, names, hints, extra)


def _first(stages: int, pattern: str, tensors: Tensors) -> int:
    """The first stage of the decoder with such a layer behind its residual block and attention; else the last."""
    found = (n for n in range(stages) if any(pattern.format(n, place) in tensors for place in (1, 2)))
    return next(found, stages - 1)


def _infer(tensors: Tensors, names: ShapeNames, hints: ImportHints, settings: dict[str, Any]) -> Parts:
    """The architecture, from the shapes; `settings` holds what a layout knows besides."""
    shapes = tensors.shapes
    features, channels = shapes[names.into][:2]
    out_channels = shapes[names.out][0]
    widths = [shapes[names.residual(i, 0)][0] for i in range(names.levels)]
    attends = [i for i in range(names.levels) if f"{names.attention(i, 0)}norm.weight" in tensors]
    unconditional = f"{names.middle}qkv.weight" in tensors
    sites = {names.middle: widths[-1]} | {names.attention(i, 0): widths[i] for i in attends}
    context = None if unconditional else _context(tensors, sites)
    known = KNOWN.get((features, context), UNKNOWN)
    stated = settings.get("heads") or settings.get("head_width")
    split = {name: hints.unless(name, stated, tensors.source) for name in ("heads", "head_width")}
    settings = {
        "model_channels": features,
        "multipliers": [width // features for width in widths],
        "residual_blocks": names.blocks,
        "attention_factors": [2**i for i in attends],
        "transformer_depth": count(tensors, f"{names.middle}transformer_blocks.{{}}.norm1.weight") or 1,
        "attention_block": "plain" if unconditional else "transformer",
        "adaptive_norm": shapes[names.embedding][0] == 2 * widths[0],
        "concat_channels": channels - out_channels,
        "residual_resampling": False,
        **known.heads,
        **settings,
        **(split if any(split.values()) and not stated else {}),
    }
    if "heads" not in settings:
        described = "without a context" if context is None else f"with a context of {context}"
        raise ValueError(
            f"path={tensors.source}: the weights do not tell how a UNet of {features} features {described} splits its "
            "attention; give heads=8, for example, or head_width=32"
        )
    grid = settings.pop("grid", known.grid)
    given = {"channels": out_channels, "grid": grid, "context_width": context, "out_channels": out_channels}
    return {"backbone": Component(UNet, settings, given)}


def _context(tensors: Tensors, sites: Mapping[str, int]) -> int | None:
    """The width that keys are made from, unless it is everywhere the features' own."""
    sources = {site: tensors.shapes[f"{site}transformer_blocks.0.attn2.to_k.weight"][1] for site in sites}
    return next((source for site, source in sources.items() if source != sites[site]), None)


@dataclass(frozen=True)
class ReleasedUNet:
    """What no shape tells of a released UNet: the split into heads, and the latent grid that it was trained on."""

    heads: Mapping[str, int | None]
    grid: int


UNKNOWN = ReleasedUNet({}, 64)
KNOWN: dict[tuple[int, int | None], ReleasedUNet] = {
    (320, 768): ReleasedUNet({"heads": 8, "head_width": None}, 64),  # Stable Diffusion 1
    (320, 1280): ReleasedUNet({"heads": 8, "head_width": None}, 32),  # latent diffusion: text to image
    (192, 512): ReleasedUNet({"heads": 1, "head_width": None}, 64),  # ImageNet, factor 4
    (256, 512): ReleasedUNet({"heads": None, "head_width": 32}, 32),  # ImageNet, factor 8
    (224, None): ReleasedUNet({"heads": None, "head_width": 32}, 64),  # CelebA-HQ, FFHQ, bedrooms
    (192, None): ReleasedUNet({"heads": 8, "head_width": None}, 32),  # churches
    (256, None): ReleasedUNet({"heads": 8, "head_width": None}, 64),  # inpainting
    (160, None): ReleasedUNet({"heads": None, "head_width": 32}, 64),  # super-resolution
}
"""By features and width of the context."""

_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "use_linear_projection": (False,),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "addition_embed_type": (None,),
    "encoder_hid_dim": (None,),
    "time_cond_proj_dim": (None,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "only_cross_attention": (False,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "norm_num_groups": (32,),
    "norm_eps": (1e-5,),
    "act_fn": ("silu",),
    "center_input_sample": (False,),
}

UNET_DIFFUSERS = Family(
    title="UNet as diffusers names it",
    marks=(
        "conv_in.weight",
        "time_embedding.linear_1.weight",
        "mid_block.attentions.0.transformer_blocks.0.norm1.weight",
    ),
    infer=infer_diffusers,
    table=diffusers_table,
    model="UNet2DConditionModel",
)
UNET_COMPVIS = Family(
    title="UNet as CompVis names it",
    marks=("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.0.in_layers.2.weight"),
    infer=infer_compvis,
    table=compvis_table,
)
