"""What `precision` and `compile` make of a small model, without a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.drawing import computing
from ldmlab.drawing.computing import ready_to_draw, ready_to_measure
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.records import drawing_record
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.checkpoints import Checkpoint
from ldmlab.models.fingerprint import state_sha256
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.precision import Precision, pick_precision
from ldmlab.samplers.ddim import DDIM

CPU = torch.device("cpu")


def drawn(seeds: Sequence[int], precision: str = "auto") -> Drawing:
    return Drawing(DDIM(50), NoGuidance(), seeds, 4, pick_precision(precision, "cpu"))


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
    drawing = ready_to_draw(model, drawn([1, 2]), "auto", 10**6)
    assert drawing.precision is not None
    assert (drawing.precision.name, drawing.compiled, compiled) == ("fp32", False, [])
    assert dtypes(model) == {torch.float32}


def test_halves_and_programs_where_they_are_asked_for(model: LatentDiffusion, compiled: list[nn.Module]) -> None:
    drawing = ready_to_draw(model, drawn([1, 2], "bf16"), True)
    assert drawing.precision is not None
    assert (drawing.precision.name, drawing.compiled) == ("bf16", True)
    assert drawing.batch_size == 2, "two pictures are not filled up to four"
    assert dtypes(model) == {torch.bfloat16}
    assert compiled == [model.denoiser.backbone, model.autoencoder.decoder.layers]


def test_what_is_measured_alone(model: LatentDiffusion, compiled: list[nn.Module]) -> None:
    ready_to_measure(model.autoencoder, Precision("bf16", CPU), True, 3)
    assert (compiled, dtypes(model.autoencoder)) == ([model.autoencoder], {torch.bfloat16})
    assert dtypes(model.denoiser) == {torch.float32}
    compiled.clear()
    ready_to_measure(model, Precision("fp32", CPU), True, 3)
    assert compiled == [model.denoiser.backbone]


def test_a_device_that_lacks_it_is_told_of_before_a_model_is_loaded() -> None:
    assert pick_precision("auto", "cpu").name == "fp32"
    with pytest.raises(ValueError, match=r"^precision=fp16: device=cpu has no fp16"):
        pick_precision("fp16", "cpu")


def test_pictures_say_what_they_were_drawn_in_and_their_latents_by_the_stored_weights(model: LatentDiffusion) -> None:
    """Of fp32 nothing: those from before there was anything else are the same pictures."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = Loaded(model, Path("model.ckpt"), Checkpoint({}, state, True, "0" * 64))
    before = state_sha256(model.autoencoder)
    whole, half = (drawing_record(loaded, Precision(name, CPU), 0, {}, {}) for name in ("fp32", "bf16"))
    assert half == {**whole, "precision": "bf16"}
    assert list(half)[-1] == list(whole)[-1] == "ldmlab"
    ready_to_draw(model, drawn([1], "bf16"))
    assert loaded.autoencoder_sha256 == before


def test_weights_that_are_stored_in_halves_are_known_by_what_is_loaded_of_them(model: LatentDiffusion) -> None:
    stored = {name: value.half() for name, value in model.state_dict().items()}
    model.load_state_dict(stored)
    loaded = Loaded(model, Path("model.ckpt"), Checkpoint({}, stored, True, "0" * 64))
    assert loaded.autoencoder_sha256 == state_sha256(model.autoencoder)
