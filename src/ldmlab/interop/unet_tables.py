"""How diffusers and CompVis name the UNet of Stable Diffusion and latent diffusion."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.unet import UNet
from ldmlab.interop.family import Parts, prefixed
from ldmlab.interop.mapping import SAME, SEQUENCE, Form, Link, Rules, rename, renamed

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
    (r"(_blocks?\.\d+\.(?:\d\.)?)into\.", r"\1in_layers."),
    (r"(_blocks?\.\d+\.(?:\d\.)?)embedding\.", r"\1emb_layers."),
    (r"(_blocks?\.\d+\.(?:\d\.)?)out\.", r"\1out_layers."),
    (r"(_blocks?\.\d+\.(?:\d\.)?)skip\.", r"\1skip_connection."),
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


def _compvis_rules(unet: UNet) -> Rules:
    """CompVis numbers the stages through, and what stands in a stage."""
    down = [
        (rf"^down\.{n}\.{part}", f"input_blocks.{n + 1}.{public}")
        for n in range(len(unet.down))
        for part, public in (
            (r"residual\.", "0."),
            (r"attention\.", "1."),
            (r"resample\.conv\.", "0.op."),
            (r"resample\.", "0."),
        )
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


def _diffusers_rules(unet: UNet) -> Rules:
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
        for part, public in (
            ("residual", f"resnets.{j}"),
            ("attention", f"attentions.{j}"),
            ("resample", "upsamplers.0"),
        )
    ]
    return *TRANSFORMER, *down, *up, *DIFFUSERS


def _places(stages: nn.ModuleList) -> Iterator[tuple[int, int, int]]:
    """The number of each stage, its resolution, and its place there."""
    i = j = 0
    for n, stage in enumerate(stages):
        yield n, i, j
        i, j = (i, j + 1) if stage.resample is None else (i + 1, 0)


def compvis_table(parts: Parts) -> list[Link]:
    """Links of our UNet's tensors to the names that CompVis' code gives them, for the UNet of these parts."""
    unet: UNet = parts["backbone"].outline
    heads = {name: module.heads for name, module in unet.named_modules() if isinstance(module, Attention)}
    rules = _compvis_rules(unet)
    links = []
    for name in unet.state_dict():
        site, _, projection = name.partition(".attention.attention.")
        if projection:
            public = rename(f"{site}.attention.", rules)
            links += _self_attention_links(site, projection, public, heads[f"{site}.attention.attention"])
        else:
            links.append(Link((name,), (rename(name, rules),)))
    return prefixed("backbone", links)


def _self_attention_links(site: str, projection: str, public: str, heads: int) -> list[Link]:
    """Queries, keys and values are one convolution over a sequence, split into heads before it is split in three."""
    layer, kind = projection.split(".")
    sequence = SEQUENCE if kind == "weight" else SAME
    if layer == "to_out":
        return [Link((f"{site}.attention.attention.{projection}",), (f"{public}proj_out.{kind}",), sequence)]
    if layer != "to_q":
        return []
    ours = tuple(f"{site}.attention.attention.{which}.{kind}" for which in ("to_q", "to_k", "to_v"))
    return [Link(ours, (f"{public}qkv.{kind}",), _heads_first(heads, sequence))]


def _heads_first(heads: int, sequence: Form) -> Form:
    def read(theirs: list[Tensor]) -> list[Tensor]:
        (joint,) = sequence.read(theirs)
        return [part.flatten(0, 1) for part in joint.unflatten(0, (heads, 3, -1)).unbind(1)]

    def write(ours: list[Tensor]) -> list[Tensor]:
        joint = torch.stack([part.unflatten(0, (heads, -1)) for part in ours], dim=1)
        return sequence.write([joint.flatten(0, 2)])

    return Form(read, write)


def diffusers_table(parts: Parts) -> list[Link]:
    """Links of our UNet's tensors to the names that diffusers gives them, for the UNet of these parts."""
    unet: UNet = parts["backbone"].outline
    return prefixed("backbone", renamed(unet.state_dict(), _diffusers_rules(unet)))
