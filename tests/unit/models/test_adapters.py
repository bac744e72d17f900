"""Adapters in files: of one model alone, checked before they are loaded, and no larger than they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.adapters.base import adapter_parameters
from ldmlab.models.adapters import KEY, adapt, base_sha256, load_adapter
from ldmlab.models.build import build_autoencoder, build_latent_diffusion
from ldmlab.models.checkpoints import export_weights
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion, load_model, read_merged
from ldmlab.types import Conditioning

KL = {"_target_": "ldmlab.autoencoders.kl.AutoencoderKL", "channels": 8, "multipliers": [1, 1], "norm_groups": 4}
CONFIG: dict[str, Any] = {
    "model": "latent_diffusion",
    "autoencoder": {**KL, "residual_blocks": 1, "latent_channels": 3},
    "backbone": {"_target_": "ldmlab.backbones.dit.DiT", "patch": 2, "width": 16, "depth": 1, "heads": 2},
    "conditioner": {"_target_": "ldmlab.conditioners.class_label.ClassLabel", "classes": 4, "width": 16},
    "schedule": {"_target_": "ldmlab.diffusion.schedules.cosine"},
    "parameterization": {"_target_": "ldmlab.diffusion.parameterizations.Velocity"},
    "image_size": 16,
}
LORA: dict[str, Any] = {"_target_": "ldmlab.adapters.lora.LoRA", "rank": 2}


def model(seed: int = 0) -> LatentDiffusion:
    torch.manual_seed(seed)
    made = build_latent_diffusion(CONFIG, build_autoencoder(CONFIG["autoencoder"]))
    for parameter in made.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@torch.no_grad()
def run(made: LatentDiffusion) -> Tensor:
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    cond = Conditioning(vector=torch.ones(1, 16))
    return made.denoiser.backbone(x, torch.tensor([40]), cond)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.safetensors"
    export_weights(path, model().state_dict(), CONFIG, ema=True)
    return path


@pytest.fixture
def write(base: Path, tmp_path: Path) -> Callable[..., tuple[Path, LatentDiffusion]]:
    """(changes of the config, of the state) -> an adapter's file, and the adapted model."""

    def make(config: dict[str, Any] | None = None, state: dict[str, Tensor] | None = None, half: bool = False) -> Any:
        adapted = load_latent_diffusion(str(base)).model
        own = adapt(adapted, LORA, str(base))
        torch.manual_seed(1)
        for parameter in adapter_parameters(adapted).values():
            torch.nn.init.normal_(parameter, std=0.3)
        path = tmp_path / "adapter.safetensors"
        export_weights(path, adapter_parameters(adapted) | (state or {}), own | (config or {}), True, half)
        return path, adapted

    return make


def test_a_file_gives_the_adapted_model_back(base: Path, write: Any) -> None:
    path, adapted = write()
    plain = run(load_latent_diffusion(str(base)).model)
    loaded = load_latent_diffusion(str(base), adapter_ckpt=str(path))
    assert torch.equal(run(loaded.model), run(adapted))
    assert not torch.allclose(run(loaded.model), plain, atol=1e-3)
    assert loaded.adapter_record == {"file": path.name, "sha256": loaded.adapter.sha256, "scale": 1.0}
    assert torch.equal(run(load_latent_diffusion(str(base), adapter_ckpt=str(path), adapter_scale=0).model), plain)
    assert path.stat().st_size < base.stat().st_size / 10


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_merged_it_draws_the_same(scale: float, base: Path, write: Any) -> None:
    path, _ = write()
    expected = run(load_latent_diffusion(str(base), adapter_ckpt=str(path), adapter_scale=scale).model)
    checkpoint, whole = read_merged(str(base), True, str(path), scale)
    assert checkpoint.state.keys() == model().state_dict().keys()
    alone = model(seed=9)
    alone.load_state_dict(checkpoint.state)
    for each in (alone, whole):
        torch.testing.assert_close(run(each), expected, rtol=1e-4, atol=1e-5)


def test_a_file_in_fp16_is_loaded_too(base: Path, write: Any) -> None:
    path, adapted = write(half=True)
    close = run(load_latent_diffusion(str(base), adapter_ckpt=str(path)).model)
    torch.testing.assert_close(close, run(adapted), rtol=2e-2, atol=2e-2)


def test_the_base_is_known_by_its_weights(base: Path, write: Any) -> None:
    path, adapted = write()
    assert base_sha256(adapted) == base_sha256(model())
    other = model(seed=3)
    with pytest.raises(ValueError, match=rf"{KEY}={path}: was trained on another model, base\.safetensors; give"):
        load_adapter(other, str(path))
    assert not adapter_parameters(other)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"adapter": {"_target_": "os.system"}}, "refused, because its config would build os.system"),
        ({"adapter": {**LORA, "rank": 3}}, "is of another architecture: 'denoiser.backbone.*' is"),
        ({"adapter": {**LORA, "rank": 10**8}}, "is of another architecture: 'denoiser.backbone.*' is"),
        ({"adapter": {**LORA, "projections": ["q"]}}, "is of another architecture: it has 'denoiser.backbone"),
        ({"adapter": {**LORA, "attention": ["cross"]}}, "the backbone has no such attention"),
        ({"base": 3}, "does not say which model it belongs to"),
        ({"model": "everything"}, "names no model"),
    ],
)
def test_strangers_files_are_refused(config: dict[str, Any], told: str, base: Path, write: Any) -> None:
    path, _ = write(config)
    with pytest.raises(ValueError, match=rf"^{KEY}={path}: .*{told}"):
        load_model(str(base), adapter_ckpt=str(path))


def test_weights_that_are_not_finite_are_refused(base: Path, write: Any) -> None:
    name = "denoiser.backbone.blocks.0.self_attention.to_q.lora_up"
    path, _ = write(state={name: torch.full((16, 2), torch.nan)})
    with pytest.raises(ValueError, match=rf"{KEY}={path}: '{name}' holds NaN"):
        load_model(str(base), adapter_ckpt=str(path))


def test_each_file_has_its_key(base: Path, write: Any, tmp_path: Path) -> None:
    path, _ = write()
    with pytest.raises(ValueError, match=rf"^ckpt={path}: holds an adapter alone; give it as {KEY}="):
        load_model(str(path))
    with pytest.raises(ValueError, match=rf"^{KEY}={base}: holds a latent diffusion and no adapter"):
        load_model(str(base), adapter_ckpt=str(base))
    with pytest.raises(ValueError, match=rf"^{KEY}=nowhere: no such file"):
        load_model(str(base), adapter_ckpt="nowhere")
    alone = tmp_path / "autoencoder.safetensors"
    state = {f"autoencoder.{name}": tensor for name, tensor in model().autoencoder.state_dict().items()}
    export_weights(alone, state, {**CONFIG, "model": "autoencoder"}, ema=False)
    with pytest.raises(ValueError, match=rf"^{KEY}={path}: ckpt={alone} holds an autoencoder, which takes none"):
        load_model(str(alone), adapter_ckpt=str(path))
