"""The config.json by which diffusers and transformers build what our parts are, and the reasons where they cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.clip import CLIPText
from ldmlab.interop.family import Component

VERSION = "0.21.0"
"""Of diffusers, the first with all that these files say."""
BEGIN, END, ZERO = "<|startoftext|>", "<|endoftext|>", "!"


def refuse_unless(component: Component, key: str, value: Any, why: str) -> None:
    """Refuse a model that diffusers cannot run.

    Args:
        component: a part of the model.
        key: of its config section.
        value: the only one that diffusers can run.
        why: for the message.

    Raises:
        ValueError: the component has another value.
    """
    found = component.setting(key)
    if found != value:
        part = "backbone" if component.kind in (UNet, DiT) else "autoencoder"
        raise ValueError(f"format=diffusers: the model has {part}.{key}={json.dumps(found)}, and {why}")


def unet_config(component: Component) -> dict[str, Any]:
    """The config.json by which diffusers builds a UNet2DConditionModel that is our UNet.

    Raises:
        ValueError: diffusers cannot run it.
    """
    refuse_unless(component, "attention_block", "transformer", "diffusers' UNet2DConditionModel has Transformers only")
    refuse_unless(component, "residual_resampling", False, "diffusers' UNet2DConditionModel resamples by convolutions")
    refuse_unless(component, "positions", False, "diffusers' UNet2DConditionModel adds no positions")
    widths = component.widths
    if widths.get("context_width") is None or widths.get("vector_width") is not None:
        raise ValueError(
            "format=diffusers: the UNet reads a vector, or no context; diffusers' UNet2DConditionModel reads a context "
            "and nothing else (train with conditioner=clip conditioner.pooled=false)"
        )
    if widths["out_channels"] != widths["channels"]:
        raise ValueError(
            "format=diffusers: the UNet learned a variance (objective=hybrid), which StableDiffusionPipeline does not "
            "sample with; train with objective=simple"
        )
    features = [component.setting("model_channels") * m for m in component.setting("multipliers")]
    attends = [2**i in component.setting("attention_factors") for i in range(len(features))]
    heads = component.setting("heads")
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": widths["grid"],
        "in_channels": widths["channels"] + component.setting("concat_channels"),
        "out_channels": widths["out_channels"],
        "block_out_channels": features,
        "layers_per_block": component.setting("residual_blocks"),
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        "cross_attention_dim": widths["context_width"],
        "attention_head_dim": heads or [f // component.setting("head_width") for f in features],
        "transformer_layers_per_block": component.setting("transformer_depth"),
        "resnet_time_scale_shift": "scale_shift" if component.setting("adaptive_norm") else "default",
        "norm_num_groups": 32,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def autoencoder_config(component: Component, kind: str, scale: float, image_size: int) -> dict[str, Any]:
    """The config.json by which diffusers builds an AutoencoderKL or a VQModel that is our autoencoder.

    Args:
        component: our autoencoder.
        kind: "AutoencoderKL" or "VQModel".
        scale: diffusers' scaling factor of latents.
        image_size: side of the pictures in pixels.

    Raises:
        ValueError: diffusers cannot run it.
    """
    refuse_unless(component, "patch", 1, "diffusers' autoencoders start from single pixels")
    multipliers = component.setting("multipliers")
    attends = [2**i in component.setting("attention_factors") for i in range(len(multipliers))]
    config = {
        "_class_name": kind,
        "sample_size": image_size,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": component.setting("latent_channels"),
        "block_out_channels": [component.setting("channels") * m for m in multipliers],
        "layers_per_block": component.setting("residual_blocks"),
        "down_block_types": ["AttnDownEncoderBlock2D" if a else "DownEncoderBlock2D" for a in attends],
        "up_block_types": ["AttnUpDecoderBlock2D" if a else "UpDecoderBlock2D" for a in reversed(attends)],
        "norm_num_groups": component.setting("norm_groups"),
        "act_fn": "silu",
        "scaling_factor": scale,
    }
    if kind == "VQModel":
        codes = {"num_vq_embeddings": component.setting("codes"), "vq_embed_dim": component.setting("latent_channels")}
        inner = component.setting("encoder_channels") or component.setting("latent_channels")
        config |= codes | {"latent_channels": inner}
    return config


def dit_config(component: Component, classes: int) -> dict[str, Any]:
    """The config.json by which diffusers builds a DiTTransformer2DModel that is our DiT.

    Raises:
        ValueError: diffusers cannot run it.
    """
    refuse_unless(component, "conditioning", "adaln_zero", "diffusers' DiTTransformer2DModel has adaLN-Zero only")
    refuse_unless(component, "mlp_ratio", 4, "diffusers' DiTTransformer2DModel has MLPs of 4 times its width")
    if component.widths.get("context_width") is not None:
        raise ValueError("format=diffusers: the DiT reads text; diffusers' DiTTransformer2DModel reads classes only")
    width, heads = component.setting("width"), component.setting("heads")
    return {
        "_class_name": "DiTTransformer2DModel",
        "sample_size": component.widths["grid"],
        "patch_size": component.setting("patch"),
        "in_channels": component.widths["channels"],
        "out_channels": component.widths["out_channels"],
        "num_layers": component.setting("depth"),
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "num_embeds_ada_norm": classes,
        "norm_type": "ada_norm_zero",
        "norm_elementwise_affine": False,
        "norm_eps": 1e-6,
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
    }


def clip_config(component: Component) -> dict[str, Any]:
    """The config.json by which transformers builds a CLIPTextModel that is our CLIP text encoder.

    Raises:
        ValueError: transformers cannot run it.
    """
    width = component.setting("width")
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "projection_dim": width,
        "num_hidden_layers": component.setting("depth"),
        "num_attention_heads": component.setting("heads"),
        "max_position_embeddings": component.setting("length"),
        "vocab_size": 49408,
        "hidden_act": "quick_gelu" if component.setting("quick_gelu") else "gelu",
        "layer_norm_eps": 1e-5,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 49407 if component.setting("padding") == "end" else 0,
    }


def tokenizer_files(conditioner: CLIPText) -> dict[str, Any]:
    """CLIP's words in the files of transformers' CLIPTokenizer."""
    tokenizer = conditioner.tokenizer
    words = dict(tokenizer.encoder)
    first, last = tokenizer.sot_token_id, tokenizer.eot_token_id
    vocabulary = {word: number for word, number in words.items() if number not in (first, last)}
    marks = {"bos_token": BEGIN, "eos_token": END, "unk_token": END}
    marks["pad_token"] = END if conditioner.padding == "end" else ZERO
    return {
        "vocab.json": vocabulary | {BEGIN: first, END: last},
        "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in tokenizer.bpe_ranks),
        "special_tokens_map.json": marks,
        "tokenizer_config.json": {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": conditioner.length,
            "do_lower_case": True,
            "add_prefix_space": False,
            "errors": "replace",
            **marks,
        },
    }


def pipeline_index(name: str, parts: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The model_index.json of a diffusers pipeline.

    Args:
        name: class of the pipeline.
        parts: library and class of each part.
    """
    return {"_class_name": name, "_diffusers_version": VERSION, **{part: list(kind) for part, kind in parts.items()}}
