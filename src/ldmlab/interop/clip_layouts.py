"""CLIP's text encoder as transformers and as open_clip name it."""

from __future__ import annotations

from typing import Any

from ldmlab.conditioners.clip import CLIPText
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
from ldmlab.interop.mapping import Link, Rules, rename, renamed, unstacked
from ldmlab.interop.tensors import Tensors

HEAD_WIDTH = 64
"""Of every released CLIP."""

TRANSFORMERS: Rules = (
    (r"^token_embedding\.", "embeddings.token_embedding."),
    (r"^positions$", "embeddings.position_embedding.weight"),
    (r"^norm\.", "final_layer_norm."),
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
OPEN_CLIP: Rules = ((r"^positions$", "positional_embedding"), (r"^norm\.", "ln_final."))


def _transformers_table(prefix: str, parts: Parts) -> list[Link]:
    links = []
    for name in parts["conditioner"].outline.state_dict():
        block, _, kind = name.partition(".attn.in_proj_")
        public = prefix + rename(block if kind else name, TRANSFORMERS)
        theirs = tuple(f"{public}.self_attn.{which}_proj.{kind}" for which in "qkv") if kind else (public,)
        links.append(Link((name,), theirs, unstacked(3)) if kind else Link((name,), theirs))
    return prefixed("conditioner", links)


def _open_clip_table(parts: Parts) -> list[Link]:
    return prefixed("conditioner", renamed(parts["conditioner"].outline.state_dict(), OPEN_CLIP))


def _infer_transformers(prefix: str, tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    """As in Stable Diffusion: all states after the final norm, padded with the end mark."""
    require_settings(tensors, settings, {"hidden_act": ("quick_gelu", "gelu"), "layer_norm_eps": (1e-5,)})
    names = (f"{prefix}embeddings.token_embedding.weight", f"{prefix}embeddings.position_embedding.weight")
    depth = count(tensors, f"{prefix}encoder.layers.{{}}.layer_norm1.weight")
    stated = settings["hidden_act"] == "quick_gelu" if "hidden_act" in settings else None
    quick = hints.unless("quick_gelu", stated, tensors.source)
    heads = read_setting(tensors, settings, "num_attention_heads")
    return _parts(tensors, names, depth, heads, quick is not False, "end")


def _infer_open_clip(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    quick = hints.ask("quick_gelu")
    if quick is None:
        raise ValueError(
            f"path={tensors.source}: open_clip's files do not say which activation they were trained with; give "
            "quick_gelu=true for OpenAI's weights, quick_gelu=false for most others"
        )
    names = ("token_embedding.weight", "positional_embedding")
    return _parts(tensors, names, count(tensors, "transformer.resblocks.{}.ln_1.weight"), None, quick, "zero")


def _parts(tensors: Tensors, names: tuple[str, str], depth: int, heads: int | None, quick: bool, padding: str) -> Parts:
    width = tensors.shapes[names[0]][1]
    settings: dict[str, Any] = {
        "width": width,
        "depth": depth,
        "heads": heads or max(1, width // HEAD_WIDTH),
        "length": tensors.shapes[names[1]][0],
        "quick_gelu": quick,
        "padding": padding,
        "pooled": False,
    }
    return {"conditioner": Component(CLIPText, settings)}


def _transformers(prefix: str) -> Family:
    return Family(
        title="CLIP text encoder as transformers names it",
        marks=(f"{prefix}embeddings.token_embedding.weight", f"{prefix}final_layer_norm.weight"),
        infer=lambda tensors, settings, hints: _infer_transformers(prefix, tensors, settings, hints),
        table=lambda parts: _transformers_table(prefix, parts),
        ignored=(
            (rf"{prefix}embeddings\.position_ids", "the numbers 0, 1, 2 ... of positions"),
            (r"vision_model\..*|visual_projection\..*", "CLIP's image encoder"),
            (r"text_projection\..*|logit_scale", "CLIP's projection to the space that text and images share"),
        ),
        model="CLIPTextModel",
    )


CLIP_TRANSFORMERS, CLIP_BARE = _transformers("text_model."), _transformers("")
CLIP_OPEN = Family(
    title="CLIP text encoder as open_clip names it",
    marks=("token_embedding.weight", "positional_embedding", "ln_final.weight", "transformer.resblocks.0.ln_1.weight"),
    infer=_infer_open_clip,
    table=_open_clip_table,
    ignored=(
        (r"visual\..*", "CLIP's image encoder"),
        (r"text_projection|logit_scale|logit_bias", "CLIP's projection to the space that text and images share"),
        (r"attn_mask", "the causal mask"),
    ),
)
