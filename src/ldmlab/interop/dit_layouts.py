"""DiT with adaLN-Zero blocks and classes, in its authors' layout and in that of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.embeddings import grid_positions
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.interop.family import Component, Family, ImportHints, Parts, Settings, count, read_setting, require_settings
from ldmlab.interop.mapping import Form, Link, Rules, rename, stacked
from ldmlab.interop.tensors import Tensors

BACKBONE, TABLE = "backbone.", "conditioner.table.weight"
PROJECTIONS = ("to_q", "to_k", "to_v")

ORIGINAL: Rules = (
    (r"^patch_embedding\.", "x_embedder.proj."),
    (r"^time_embedding\.", "t_embedder."),
    (r"^final_modulation\.", "final_layer.adaLN_modulation."),
    (r"^final\.", "final_layer.linear."),
    (r"\.self_attention\.to_out\.", ".attn.proj."),
    (r"\.modulation\.", ".adaLN_modulation."),
    (r"^(blocks\.\d+\.mlp)\.0\.", r"\1.fc1."),
    (r"^(blocks\.\d+\.mlp)\.2\.", r"\1.fc2."),
)
DIFFUSERS: Rules = (
    (r"^patch_embedding\.", "pos_embed.proj."),
    (r"^final_modulation\.1\.", "proj_out_1."),
    (r"^final\.", "proj_out_2."),
    (r"^blocks\.", "transformer_blocks."),
    (r"\.self_attention\.to_out\.", ".attn1.to_out.0."),
    (r"\.self_attention\.", ".attn1."),
    (r"\.modulation\.1\.", ".norm1.linear."),
    (r"\.mlp\.0\.", ".ff.net.0.proj."),
    (r"\.mlp\.2\.", ".ff.net.2."),
)


def _shared(count: int) -> Form:
    """diffusers gives each block an embedder of its own; the model of the paper has one for all."""

    def read(theirs: list[Tensor]) -> list[Tensor]:
        if not all(torch.allclose(tensor, theirs[0], rtol=1e-5, atol=1e-6) for tensor in theirs[1:]):
            raise ValueError(
                "and those of the other blocks differ: the blocks' embedders of time and class were trained apart, "
                "and DiT has a single one, so these weights are another model"
            )
        return theirs[:1]

    return Form(read, lambda ours: ours * count)


def _fixed(value: Callable[[], Tensor]) -> Form:
    """Theirs is stored though it is never trained; it is compared on the way in and made on the way out."""

    def read(theirs: list[Tensor]) -> list[Tensor]:
        if not torch.allclose(theirs[0].float(), value(), atol=1e-3):
            raise ValueError("is not the fixed table of sines and cosines that DiT adds to its tokens")
        return []

    return Form(read, lambda ours: [value()])


def _original_table(parts: Parts) -> list[Link]:
    component = parts["backbone"]
    side = component.widths["grid"] // component.setting("patch")
    positions = _fixed(lambda: grid_positions(side, side, component.setting("width"))[None])
    links = [Link((), ("pos_embed",), positions), Link((TABLE,), ("y_embedder.embedding_table.weight",))]
    for name in component.outline.state_dict():
        block, _, inner = name.partition(".self_attention.to_q.")
        if inner:
            ours = tuple(f"{BACKBONE}{block}.self_attention.{projection}.{inner}" for projection in PROJECTIONS)
            links.append(Link(ours, (f"{block}.attn.qkv.{inner}",), stacked(3)))
        elif ".self_attention.to_k." not in name and ".self_attention.to_v." not in name:
            links.append(Link((BACKBONE + name,), (rename(name, ORIGINAL),)))
    return links


def _diffusers_table(parts: Parts) -> list[Link]:
    component = parts["backbone"]
    depth = component.setting("depth")

    def in_each_block(ours: str, name: str) -> Link:
        theirs = tuple(f"transformer_blocks.{i}.norm1.emb.{name}" for i in range(depth))
        return Link((ours,), theirs, _shared(depth))

    links = [in_each_block(TABLE, "class_embedder.embedding_table.weight")]
    for name in component.outline.state_dict():
        if name.startswith("time_embedding.mlp."):
            layer, _, kind = name.removeprefix("time_embedding.mlp.").partition(".")
            linear = f"timestep_embedder.linear_{1 + int(layer) // 2}.{kind}"
            links.append(in_each_block(BACKBONE + name, linear))
        else:
            links.append(Link((BACKBONE + name,), (rename(name, DIFFUSERS),)))
    return links


def _infer_original(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    shapes = tensors.shapes
    tokens, width = shapes["pos_embed"][1:]
    sizes = {
        "depth": count(tensors, "blocks.{}.attn.qkv.weight"),
        "mlp_ratio": shapes["blocks.0.mlp.fc1.weight"][0] / width,
    }
    grid = round(tokens**0.5) * shapes["x_embedder.proj.weight"][2]
    heads = hints.ask("heads") or RELEASED_HEADS.get(width) or _unknown_heads(tensors, width)
    names = ("x_embedder.proj.weight", "final_layer.linear.weight", "y_embedder.embedding_table.weight")
    return _parts(tensors, names, sizes | {"heads": heads}, grid)


def _infer_diffusers(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    require_settings(tensors, settings, SUPPORTED)
    first = "transformer_blocks.0"
    width = tensors.shapes["pos_embed.proj.weight"][0]
    sizes = {
        "depth": count(tensors, "transformer_blocks.{}.attn1.to_q.weight"),
        "mlp_ratio": tensors.shapes[f"{first}.ff.net.0.proj.weight"][0] / width,
    }
    stated = read_setting(tensors, settings, "num_attention_heads")
    heads = hints.unless("heads", stated, tensors.source) or RELEASED_HEADS.get(width)
    names = ("pos_embed.proj.weight", "proj_out_2.weight", f"{first}.norm1.emb.class_embedder.embedding_table.weight")
    sizes["heads"] = heads or _unknown_heads(tensors, width)
    return _parts(tensors, names, sizes, read_setting(tensors, settings, "sample_size") or 32)


def _parts(tensors: Tensors, names: tuple[str, str, str], sizes: dict[str, Any], grid: int) -> Parts:
    """The backbone and its classes, of which the last row of the table is the null one."""
    patches, out, table = (tensors.shapes[name] for name in names)
    width, channels, patch = patches[:3]
    settings = {"patch": patch, "width": width} | sizes
    widths = {"channels": channels, "grid": grid, "vector_width": width, "out_channels": out[0] // patch**2}
    classes = Component(ClassLabel, {"classes": table[0] - 1, "width": width})
    return {"backbone": Component(DiT, settings, widths), "conditioner": classes}


def _unknown_heads(tensors: Tensors, width: int) -> int:
    raise ValueError(
        f"path={tensors.source}: the weights do not tell how a DiT of width {width} splits its attention; "
        f"give heads={max(1, width // 64)}, for example"
    )


RELEASED_HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Of DiT-S, -B, -L and -XL by their width."""

SUPPORTED: dict[str, tuple[Any, ...]] = {
    "norm_type": ("ada_norm_zero",),
    "activation_fn": ("gelu-approximate",),
    "attention_bias": (True,),
    "norm_elementwise_affine": (False,),
}

DIT_ORIGINAL = Family(
    title="DiT in its authors' layout",
    marks=("x_embedder.proj.weight", "pos_embed", "y_embedder.embedding_table.weight", "blocks.0.attn.qkv.weight"),
    infer=_infer_original,
    table=_original_table,
)
DIT_DIFFUSERS = Family(
    title="DiT as diffusers names it",
    marks=("pos_embed.proj.weight", "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"),
    infer=_infer_diffusers,
    table=_diffusers_table,
    ignored=((r"pos_embed\.pos_embed", "DiT's fixed table of positions"),),
    model="DiTTransformer2DModel",
)
