"""The keys `precision` and `compile` of commands that draw, on a small model and without a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.cli import computing
from ldmlab.cli.computing import pick_precision, ready_to_draw, ready_to_measure
from ldmlab.cli.records import drawing_record
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.models.checkpoints import Checkpoint
from ldmlab.models.fingerprint import state_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision

CPU = torch.device("cpu")


def config(**keys: Any) -> DictConfig:
    own = {
        "sampler": {"_target_": "ldmlab.samplers.ddim.DDIM", "steps": 50},
        "guidance": {"_target_": "ldmlab.guidance.none.NoGuidance"},
        "device": "cpu",
        "precision": "auto",
        "compile": "auto",
        "batch_size": 4,
        "seed": 0,
    }
    return OmegaConf.create(own | keys)


@pytest.fixture
def model() -> LatentDiffusion:
    torch.manual_seed(0)
    autoencoder = AutoencoderKL(channels=4, multipliers=(1,), residual_blocks=1, norm_groups=2, patch=2)
    backbone = DiT(channels=4, grid=2, patch=1, width=8, depth=2, heads=2, vector_width=8)
    return LatentDiffusion(autoencoder, Denoiser(backbone, cosine(), Velocity()), ClassLabel(2, 8), 2).eval()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """What is compiled."""
    found: list[nn.Module] = []

    def note(networks: Iterable[nn.Module]) -> None:
        found.extend(networks)

    monkeypatch.setattr(computing, "compile_networks", note)
    return found


def dtypes(module: nn.Module) -> set[torch.dtype]:
    return {weight.dtype for weight in module.parameters()}


def test_on_a_cpu_nothing_changes(model: LatentDiffusion, compiled: list[nn.Module]) -> None:
    drawing = ready_to_draw(config(), model, [1, 2], 10**6)
    assert drawing.precision is not None
    assert (drawing.precision.name, drawing.compiled, compiled) == ("fp32", False, [])
    assert dtypes(model) == {torch.float32}


def test_halves_and_programs_where_they_are_asked_for(model: LatentDiffusion, compiled: list[nn.Module]) -> None:
    drawing = ready_to_draw(config(precision="bf16", compile=True), model, [1, 2])
    assert drawing.precision is not None
    assert (drawing.precision.name, drawing.compiled) == ("bf16", True)
    assert drawing.batch_size == 2, "two pictures are not filled up to four"
    assert dtypes(model) == {torch.bfloat16}
    assert compiled == [model.denoiser.backbone, model.autoencoder.decoder.layers]


def test_what_is_measured_alone(model: LatentDiffusion, compiled: list[nn.Module]) -> None:
    assert ready_to_measure(config(precision="bf16", compile=True), model.autoencoder, 3).name == "bf16"
    assert (compiled, dtypes(model.autoencoder)) == ([model.autoencoder], {torch.bfloat16})
    assert dtypes(model.denoiser) == {torch.float32}
    compiled.clear()
    ready_to_measure(config(compile=True), model, 3)
    assert compiled == [model.denoiser.backbone]


def test_a_device_that_lacks_it_is_told_of_before_a_model_is_loaded() -> None:
    assert pick_precision(config()).name == "fp32"
    with pytest.raises(ValueError, match=r"^precision=fp16: device=cpu has no fp16"):
        pick_precision(config(precision="fp16"))


def test_pictures_say_what_they_were_drawn_in_and_their_latents_by_the_stored_weights(model: LatentDiffusion) -> None:
    """Of fp32 nothing: those from before there was anything else are the same pictures."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = Loaded(model, Path("model.ckpt"), Checkpoint({}, state, True, "0" * 64))
    before = state_sha256(model.autoencoder)
    whole = drawing_record(config(), loaded, Precision("fp32", CPU))
    half = drawing_record(config(), loaded, Precision("bf16", CPU))
    assert half == {**whole, "precision": "bf16"}
    assert list(half)[-1] == list(whole)[-1] == "ldmlab"
    ready_to_draw(config(precision="bf16"), model, [1])
    assert loaded.autoencoder_sha256 == before


def test_weights_that_are_stored_in_halves_are_known_by_what_is_loaded_of_them(model: LatentDiffusion) -> None:
    stored = {name: value.half() for name, value in model.state_dict().items()}
    model.load_state_dict(stored)
    loaded = Loaded(model, Path("model.ckpt"), Checkpoint({}, stored, True, "0" * 64))
    assert loaded.autoencoder_sha256 == state_sha256(model.autoencoder)
