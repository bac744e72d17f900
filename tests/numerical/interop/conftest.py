"""Public models of reduced width with random weights in every tensor, and their way into ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmlab.interop.family import Hints
from ldmlab.interop.importing import ConvertedPart, convert
from ldmlab.interop.source import read_source

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


@pytest.fixture(scope="session")
def diffusers() -> Any:
    """The package; without it the tests that ask for one of its models are skipped."""
    return pytest.importorskip("diffusers", exc_type=ImportError)


@pytest.fixture(scope="session")
def unet(diffusers: Any) -> Any:
    return shaken(diffusers.UNet2DConditionModel(**UNET), 1)


@pytest.fixture(scope="session")
def vae(diffusers: Any) -> Any:
    return shaken(diffusers.AutoencoderKL(**AUTOENCODER, latent_channels=4, sample_size=32), 2)


@pytest.fixture(scope="session")
def vqvae(diffusers: Any) -> Any:
    config = {**AUTOENCODER, "latent_channels": 6, "vq_embed_dim": 3, "num_vq_embeddings": 40, "scaling_factor": 1.0}
    return shaken(diffusers.VQModel(**config), 3)


@pytest.fixture(scope="session")
def transformer(diffusers: Any) -> Any:
    """Its blocks share one embedder of time and class, as in DiT."""
    model = shaken(diffusers.DiTTransformer2DModel(**DIT), 4)
    first = model.transformer_blocks[0].norm1.emb.state_dict()
    for block in model.transformer_blocks:
        block.norm1.emb.load_state_dict(first)
    return model


@pytest.fixture(scope="session")
def clip() -> dict[str, Tensor]:
    return clip_state()


def write_clip(folder: Path, state: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["CLIPTextModel"], **CLIP}))
    save_file(dict(state), folder / "model.safetensors", {"format": "pt"})


@pytest.fixture(scope="session")
def stable_diffusion(
    diffusers: Any, unet: Any, vae: Any, clip: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder like that of Stable Diffusion 1.x."""
    folder = tmp_path_factory.mktemp("public") / "tiny-sd"
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    write_clip(folder / "text_encoder", clip)
    scheduler = diffusers.PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
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
    return folder


@pytest.fixture(scope="session")
def dit_folder(diffusers: Any, transformer: Any, vae: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of DiT."""
    folder = tmp_path_factory.mktemp("public") / "tiny-dit"
    scheduler = diffusers.DDIMScheduler()
    diffusers.DiTPipeline(transformer, vae, scheduler, id2label={0: "zero"}).save_pretrained(folder)
    return folder


def built(part: ConvertedPart) -> Any:
    """A module of ours with the weights of an imported part."""
    module, _, name = part.config["_target_"].rpartition(".")
    settings = {key: value for key, value in part.config.items() if key != "_target_"}
    model = getattr(import_module(module), name)(**settings, **part.widths)
    model.load_state_dict(dict(part.state))
    return model.eval()


@pytest.fixture(scope="session")
def imported() -> Callable[..., dict[str, Any]]:
    """(path, hints) -> the modules of ours, by part."""

    def read(path: Path, **hints: Any) -> dict[str, Any]:
        parts, _ = convert(read_source(path), Hints(**hints))
        return {name: built(part) for name, part in parts.items()}

    return read


def error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    assert theirs.std() > 1e-3
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="session")
def relative_error() -> Callable[[Tensor, Tensor], float]:
    """(ours, theirs) -> largest difference over largest value."""
    return error
