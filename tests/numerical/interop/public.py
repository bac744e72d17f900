"""Public models of reduced width with random weights in every tensor, in memory and as folders of diffusers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

CONTEXT = 32
UNET = {
    "sample_size": 16,
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": CONTEXT,
    "attention_head_dim": 8,
    "layers_per_block": 2,
}
AUTOENCODER = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "layers_per_block": 2,
    "norm_num_groups": 16,
}
DIT = {
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 3,
    "sample_size": 8,
    "num_embeds_ada_norm": 1000,
    "norm_eps": 1e-6,
}
CLIP = {
    "hidden_size": CONTEXT,
    "intermediate_size": 4 * CONTEXT,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_act": "quick_gelu",
    "max_position_embeddings": 77,
    "layer_norm_eps": 1e-5,
}


def shaken(model: nn.Module, seed: int = 0) -> Any:
    """The model with noise on every parameter, so that no two tensors could be exchanged unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.1 if parameter.ndim == 1 else 0.7 / max(1, parameter[0].numel()) ** 0.5
            parameter.mul_(0.5).add_(spread * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def clip_state(seed: int = 0) -> dict[str, Tensor]:
    """A CLIPTextModel's tensors by the names of transformers."""
    width, generator = CLIP["hidden_size"], torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (49408, width),
        "embeddings.position_embedding.weight": (77, width),
        "final_layer_norm.weight": (width,),
        "final_layer_norm.bias": (width,),
    }
    for layer in range(CLIP["num_hidden_layers"]):
        inner = {f"self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
        inner |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        inner |= {"layer_norm1": (width,), "layer_norm2": (width,)}
        for name, shape in inner.items():
            shapes[f"encoder.layers.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layers.{layer}.{name}.bias"] = shape[:1]
    return {f"text_model.{name}": 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@cache
def unet() -> Any:
    from diffusers import UNet2DConditionModel

    return shaken(UNet2DConditionModel(**UNET), 1)


@cache
def vae() -> Any:
    from diffusers import AutoencoderKL

    return shaken(AutoencoderKL(**AUTOENCODER, latent_channels=4, sample_size=32), 2)


@cache
def vqvae() -> Any:
    from diffusers import VQModel

    config = {**AUTOENCODER, "latent_channels": 6, "vq_embed_dim": 3, "num_vq_embeddings": 40, "scaling_factor": 1.0}
    return shaken(VQModel(**config), 3)


@cache
def transformer() -> Any:
    """Its blocks share one embedder of time and class, as in DiT."""
    from diffusers import DiTTransformer2DModel

    model = shaken(DiTTransformer2DModel(**DIT), 4)
    first = model.transformer_blocks[0].norm1.emb.state_dict()
    for block in model.transformer_blocks:
        block.norm1.emb.load_state_dict(first)
    return model


def write_clip(folder: Path, state: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["CLIPTextModel"], **CLIP}))
    save_file(dict(state), folder / "model.safetensors", {"format": "pt"})


def write_stable_diffusion(folder: Path, text_encoder: Mapping[str, Tensor]) -> None:
    """A folder like that of Stable Diffusion 1.x."""
    from diffusers import PNDMScheduler

    unet().save_pretrained(folder / "unet")
    vae().save_pretrained(folder / "vae")
    write_clip(folder / "text_encoder", text_encoder)
    scheduler = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))


def write_dit(folder: Path) -> None:
    """A folder like that of DiT."""
    from diffusers import DDIMScheduler, DiTPipeline

    DiTPipeline(transformer(), vae(), DDIMScheduler(), id2label={0: "zero"}).save_pretrained(folder)
