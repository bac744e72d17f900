"""The UNet of Stable Diffusion and latent diffusion, as diffusers and as CompVis name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from ldmlab.backbones.unet import UNet
from ldmlab.interop.family import Component, Family, Hints, Parts, Settings, count, prefixed, require_settings
from ldmlab.interop.mapping import Link, Rules, renamed
from ldmlab.interop.tensors import Tensors

TRANSFORMER: Rules = (
    (r"\.project_in\.", ".proj_in."),
    (r"\.project_out\.", ".proj_out."),
    (r"\.attention\.blocks\.", ".attention.transformer_blocks."),
    (r"\.norms\.0\.", ".norm1."),
    (r"\.norms\.1\.", ".norm2."),
    (r"\.norms\.2\.", ".norm3."),
    (r"\.self_attention\.", ".attn1."),
    (r"\.cross_attention\.", ".attn2."),
    (r"\.to_out\.", ".to_out.0."),
    (r"\.feed_forward\.into\.", ".ff.net.0.proj."),
    (r"\.feed_forward\.out\.", ".ff.net.2."),
)
"""Inside a spatial Transformer both layouts have the same names."""

COMPVIS: Rules = (
    (r"^into\.", "input_blocks.0.0."),
    (r"^time_embedding\.mlp\.", "time_embed."),
    (r"^middle\.0\.residual\.", "middle_block.0."),
    (r"^middle\.0\.attention\.", "middle_block.1."),
    (r"^middle\.1\.residual\.", "middle_block.2."),
    (r"(_blocks?\.\d+\.(?:0\.)?)into\.", r"\1in_layers."),
    (r"(_blocks?\.\d+\.(?:0\.)?)embedding\.", r"\1emb_layers."),
    (r"(_blocks?\.\d+\.(?:0\.)?)out\.", r"\1out_layers."),
    (r"(_blocks?\.\d+\.(?:0\.)?)skip\.", r"\1skip_connection."),
)

DIFFUSERS: Rules = (
    (r"^into\.", "conv_in."),
    (r"^out\.0\.", "conv_norm_out."),
    (r"^out\.2\.", "conv_out."),
    (r"^time_embedding\.mlp\.0\.", "time_embedding.linear_1."),
    (r"^time_embedding\.mlp\.2\.", "time_embedding.linear_2."),
    (r"^middle\.(\d)\.residual\.", r"mid_block.resnets.\1."),
    (r"^middle\.0\.attention\.", "mid_block.attentions.0."),
    (r"(resnets\.\d+\.)into\.0\.", r"\1norm1."),
    (r"(resnets\.\d+\.)into\.2\.", r"\1conv1."),
    (r"(resnets\.\d+\.)embedding\.1\.", r"\1time_emb_proj."),
    (r"(resnets\.\d+\.)out\.0\.", r"\1norm2."),
    (r"(resnets\.\d+\.)out\.3\.", r"\1conv2."),
    (r"(resnets\.\d+\.)skip\.", r"\1conv_shortcut."),
)


def compvis_rules(unet: UNet) -> Rules:
    """CompVis numbers the stages through, and what stands in a stage."""
    down = [
        (rf"^down\.{n}\.{part}", f"input_blocks.{n + 1}.{public}")
        for n in range(len(unet.down))
        for part, public in ((r"residual\.", "0."), (r"attention\.", "1."), (r"resample\.conv\.", "0.op."))
    ]
    up = [
        (rf"^up\.{n}\.{part}", f"output_blocks.{n}.{public}")
        for n, stage in enumerate(unet.up)
        for part, public in (
            (r"residual\.", "0."),
            (r"attention\.", "1."),
            (r"resample\.", "1." if stage.attention is None else "2."),
        )
    ]
    return *TRANSFORMER, *down, *up, *COMPVIS


def diffusers_rules(unet: UNet) -> Rules:
    """diffusers numbers resolutions i, and residual blocks j in each."""
    down = [
        (rf"^down\.{n}\.{part}\.", f"down_blocks.{i}.{public}.")
        for n, i, j in _places(unet.down)
        for part, public in (
            ("residual", f"resnets.{j}"),
            ("attention", f"attentions.{j}"),
            ("resample", "downsamplers.0"),
        )
    ]
    up = [
        (rf"^up\.{n}\.{part}\.", f"up_blocks.{i}.{public}.")
        for n, i, j in _places(unet.up)
        for part, public in (("residual", f"resnets.{j}"), ("attention", f"attentions.{j}"), ("resample", "upsamplers.0"))
    ]
    return *TRANSFORMER, *down, *up, *DIFFUSERS


def _places(stages: nn.ModuleList) -> Iterator[tuple[int, int, int]]:
    """The number of each stage, its resolution, and its place there."""
    i = j = 0
    for n, stage in enumerate(stages):
        yield n, i, j
        i, j = (i, j + 1) if stage.resample is None else (i + 1, 0)


def _table(rules: Callable[[UNet], Rules]) -> Callable[[Parts], list[Link]]:
    def table(parts: Parts) -> list[Link]:
        unet = parts["backbone"].build()
        assert isinstance(unet, UNet)
        return prefixed("backbone", renamed(unet.state_dict(), rules(unet)))

    return table


@dataclass(frozen=True)
class Names:
    """Where a layout keeps the tensors whose shapes tell the architecture: block j of resolution i on the way down."""

    into: str
    out: str
    levels: int
    blocks: int
    residual: Callable[[int, int], str]
    attention: Callable[[int, int], str]


def describe_diffusers(tensors: Tensors, settings: Settings, hints: Hints) -> Parts:
    """From the shapes and a config.json, in which `attention_head_dim` is the number of heads for this model."""
    require_settings(tensors, settings, _SUPPORTED)
    names = Names(
        into="conv_in.weight",
        out="conv_out.weight",
        levels=count(tensors, "down_blocks.{}.resnets.0.conv1.weight"),
        blocks=count(tensors, "down_blocks.0.resnets.{}.conv1.weight"),
        residual=lambda i, j: f"down_blocks.{i}.resnets.{j}.conv1.weight",
        attention=lambda i, j: f"down_blocks.{i}.attentions.{j}.",
    )
    given = settings.get("num_attention_heads") or settings.get("attention_head_dim")
    if isinstance(given, list | tuple):
        given = given[0] if len(set(given)) == 1 else None
    heads = {"heads": given, "head_width": None} if given and not (hints.heads or hints.head_width) else None
    return _describe(tensors, names, hints, heads)


def describe_compvis(tensors: Tensors, settings: Settings, hints: Hints) -> Parts:
    """From the shapes alone. The first stage of the decoder that changes the resolution tells the residual blocks."""
    stages = count(tensors, "output_blocks.{}.0.in_layers.2.weight")
    resampling = (n for n in range(stages) if any(f"output_blocks.{n}.{k}.conv.weight" in tensors for k in (1, 2)))
    blocks = next(resampling, stages - 1)
    names = Names(
        into="input_blocks.0.0.weight",
        out="out.2.weight",
        levels=stages // (blocks + 1),
        blocks=blocks,
        residual=lambda i, j: f"input_blocks.{1 + i * (blocks + 1) + j}.0.in_layers.2.weight",
        attention=lambda i, j: f"input_blocks.{1 + i * (blocks + 1) + j}.1.",
    )
    return _describe(tensors, names, hints, None)


def _describe(tensors: Tensors, names: Names, hints: Hints, heads: dict[str, Any] | None) -> Parts:
    channels = tensors.shapes[names.into][1]
    features = tensors.shapes[names.into][0]
    widths = [tensors.shapes[names.residual(i, 0)][0] for i in range(names.levels)]
    attends = [i for i in range(names.levels) if f"{names.attention(i, 0)}norm.weight" in tensors]
    contexts = {
        i: tensors.shapes[f"{names.attention(i, 0)}transformer_blocks.0.attn2.to_k.weight"][1] for i in attends
    }
    settings = {
        "model_channels": features,
        "multipliers": [width // features for width in widths],
        "residual_blocks": names.blocks,
        "attention_factors": [2**i for i in attends],
        "transformer_depth": count(tensors, f"{names.attention(attends[0], 0)}transformer_blocks.{{}}.norm1.weight"),
        "out_channels": tensors.shapes[names.out][0],
    }
    context = next(iter(contexts.values())) if any(contexts[i] != widths[i] for i in attends) else None
    settings |= heads or known_heads(tensors, hints, features, context)
    return {"backbone": Component(UNet, settings, {"channels": channels, "grid": 2**names.levels, "context_width": context})}


def known_heads(tensors: Tensors, hints: Hints, features: int, context: int | None) -> dict[str, Any]:
    """The split into heads, which no shape tells: as the user says, or as the released models have it.

    Raises:
        ValueError: neither knows.
    """
    if hints.heads or hints.head_width:
        return {"heads": hints.heads, "head_width": hints.head_width}
    known = KNOWN_HEADS.get((features, context))
    if known is None:
        told = "without a context" if context is None else f"with a context of {context}"
        raise ValueError(
            f"path={tensors.source}: the weights do not tell how a UNet of {features} features {told} splits its "
            "attention; give heads=8, for example, or head_width=32"
        )
    key, value = known
    return {"heads": None, "head_width": None} | {key: value}


KNOWN_HEADS: dict[tuple[int, int | None], tuple[str, int]] = {
    (320, 768): ("heads", 8),  # Stable Diffusion 1
    (320, 1280): ("heads", 8),  # latent diffusion, text to image
    (192, 512): ("heads", 1),  # latent diffusion, ImageNet
    (224, None): ("head_width", 32),  # latent diffusion, CelebA-HQ, FFHQ, bedrooms
    (192, None): ("heads", 8),  # latent diffusion, churches
    (256, None): ("heads", 8),  # latent diffusion, inpainting
    (160, None): ("head_width", 32),  # latent diffusion, super-resolution
}

_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "use_linear_projection": (False,),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "addition_embed_type": (None,),
    "encoder_hid_dim": (None,),
    "time_cond_proj_dim": (None,),
    "resnet_time_scale_shift": ("default",),
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
    marks=("conv_in.weight", "time_embedding.linear_1.weight", "mid_block.attentions.0.transformer_blocks.0.norm1.weight"),
    describe=describe_diffusers,
    table=_table(diffusers_rules),
    model="UNet2DConditionModel",
)
UNET_COMPVIS = Family(
    title="UNet as CompVis names it",
    marks=("input_blocks.0.0.weight", "time_embed.0.weight", "middle_block.1.transformer_blocks.0.norm1.weight"),
    describe=describe_compvis,
    table=_table(compvis_rules),
)
