"""Models of diffusers and ours give the same numbers with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ldmlab.types import Conditioning

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)

Import = Callable[..., dict[str, Any]]
Error = Callable[[torch.Tensor, torch.Tensor], float]
TOLERANCE = 1e-5


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


TIMESTEPS = torch.tensor([3, 987])


@torch.no_grad()
def unet_error(theirs: Any, ours: Any, relative_error: Error) -> float:
    grid, width = theirs.config.sample_size, theirs.config.cross_attention_dim
    x, context = randn(2, theirs.config.in_channels, grid, grid), randn(2, 7, width)
    wanted = theirs(x, TIMESTEPS, context).sample
    return relative_error(ours(x, TIMESTEPS, Conditioning(context=context)), wanted)


def test_unet(unet: Any, stable_diffusion: Path, imported: Import, relative_error: Error) -> None:
    ours = imported(stable_diffusion)["backbone"]
    assert unet_error(unet, ours, relative_error) < TOLERANCE


@pytest.mark.parametrize(
    "changes",
    [
        {"layers_per_block": 1, "transformer_layers_per_block": 2},
        {"resnet_time_scale_shift": "scale_shift", "in_channels": 9},
        {"attention_head_dim": (4, 4, 4)},
    ],
    ids=str,
)
def test_unet_of_other_shapes(
    changes: dict[str, Any], unet: Any, imported: Import, relative_error: Error, tmp_path: Path
) -> None:
    theirs = diffusers.UNet2DConditionModel(**{**unet.config, **changes}).eval()
    theirs.save_pretrained(tmp_path)
    assert unet_error(theirs, imported(tmp_path)["backbone"], relative_error) < TOLERANCE


@torch.no_grad()
def test_autoencoder(vae: Any, stable_diffusion: Path, imported: Import, relative_error: Error) -> None:
    ours = imported(stable_diffusion)["autoencoder"]
    images, scale = randn(2, 3, 32, 32), vae.config.scaling_factor
    theirs = vae.encode(images).latent_dist
    mean, std = ours.moments(images)
    assert relative_error(mean, theirs.mean * scale) < TOLERANCE
    assert relative_error(std, theirs.std * scale) < TOLERANCE
    latents = randn(2, 4, 16, 16)
    assert relative_error(ours.decode(latents), vae.decode(latents / scale).sample) < TOLERANCE


@torch.no_grad()
def test_codebook(vqvae: Any, imported: Import, relative_error: Error, tmp_path: Path) -> None:
    vqvae.save_pretrained(tmp_path)
    ours = imported(tmp_path)["autoencoder"]
    images = randn(2, 3, 32, 32)
    latents = vqvae.encode(images).latents
    assert relative_error(ours.encode(images), latents) < TOLERANCE
    assert relative_error(ours.decode(latents), vqvae.decode(latents).sample) < TOLERANCE


@torch.no_grad()
def test_attention_by_its_old_names(vae: Any, imported: Import, relative_error: Error, tmp_path: Path) -> None:
    """The folders of Stable Diffusion 1.x were written before diffusers renamed them."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, tensor in vae.state_dict().items():
        for new, former in old.items():
            name = name.replace(f".{new}.", f".{former}.")
        state[name] = tensor
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in state
    save_file(state, tmp_path / "vae.safetensors")
    latents = randn(2, 4, 16, 16)
    ours = imported(tmp_path / "vae.safetensors", latent_scale=0.18215)["autoencoder"]
    theirs = diffusers.AutoencoderKL(**{**vae.config, "norm_num_groups": 32}).eval()
    theirs.load_state_dict(vae.state_dict())
    assert relative_error(ours.decode(latents), theirs.decode(latents / 0.18215).sample) < TOLERANCE


@torch.no_grad()
def test_dit(transformer: Any, dit_folder: Path, imported: Import, relative_error: Error) -> None:
    """diffusers divides the frequencies of time by half - 1, the paper by half; here both do the latter."""
    ours = imported(dit_folder)
    for block in transformer.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    x, labels = randn(2, 4, 8, 8), [5, 999]
    wanted = transformer(x, TIMESTEPS, torch.tensor(labels)).sample
    got = ours["backbone"](x, TIMESTEPS, ours["conditioner"]({"labels": labels}))
    assert relative_error(got, wanted) < TOLERANCE
    null = transformer(x, TIMESTEPS, torch.tensor([1000, 1000])).sample
    assert relative_error(ours["backbone"](x, TIMESTEPS, ours["conditioner"].null(2)), null) < TOLERANCE


@pytest.mark.slow
def test_unet_of_full_size(imported: Import, relative_error: Error, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).eval()
    theirs.save_pretrained(tmp_path)
    ours = imported(tmp_path)["backbone"]
    assert sum(p.numel() for p in ours.parameters()) == 859_520_964
    assert unet_error(theirs, ours, relative_error) < TOLERANCE
