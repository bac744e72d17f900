"""A given picture, drawn again and edited."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.editing.inversion.base import Inversion
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.direct import Direct
from ldmlab.editing.inversion.negative_prompt import NegativePrompt
from ldmlab.editing.inversion.null_text import NullText
from ldmlab.editing.inversion.real_image import invert_image
from ldmlab.editing.methods.base import EditTask
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.metrics.fidelity.psnr import psnr
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.precision import choose_precision
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.euler import Euler
from ldmlab.samplers.heun import Heun

INVERSIONS = [DDIMInversion(), NullText(inner_steps=2), NegativePrompt(), Direct(both=True)]
SOURCE, TARGET, STEPS = "a small red circle", "a small blue circle", 4


def drawn_by(name: str, inversion: Inversion) -> Any:
    """A case. With `make test`, each inversion is of a DiT, and the one that learns of a UNet as well."""
    slow = name == "unet" and not isinstance(inversion, NullText)
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(name, inversion, id=f"{name}-{type(inversion).__name__}", marks=marks)


with_each_inversion = pytest.mark.parametrize(
    ("each_model", "inversion"),
    [drawn_by(name, inversion) for name in ("dit", "unet") for inversion in INVERSIONS],
    indirect=["each_model"],
)


def control_of(
    made: LatentDiffusion, settings: EditSettings, target: str = TARGET
) -> Callable[[Sequence[int]], PromptToPromptControl]:
    words = [made.conditioner.words(prompt) for prompt in (SOURCE, target)]
    edit = PromptEdit.between(*words, STEPS, settings)
    return lambda rows: PromptToPromptControl([edit] * len(rows), settings)


@with_each_inversion
def test_an_identity_edit_gives_the_source_bit_for_bit(
    model: LatentDiffusion, edit_task: Callable[..., EditTask], inversion: Inversion
) -> None:
    inverted = invert_image(edit_task(model), inversion)
    source, same = inverted.edit(SOURCE)
    assert torch.equal(source, same)
    assert torch.equal(source, inverted.reconstruction)
    source, same = inverted.edit(SOURCE, control_of(model, EditSettings(tau=1, self_tau=1), SOURCE))
    assert torch.equal(source, same)


@with_each_inversion
def test_tau_zero_is_the_target_prompt_without_control(
    model: LatentDiffusion, edit_task: Callable[..., EditTask], inversion: Inversion
) -> None:
    inverted = invert_image(edit_task(model), inversion)
    source, plain = inverted.edit(TARGET)
    assert torch.equal(source, inverted.reconstruction)
    assert all(map(torch.equal, inverted.edit(TARGET, control_of(model, EditSettings(tau=0))), (source, plain)))
    controlled = inverted.edit(TARGET, control_of(model, EditSettings(tau=0.8)))
    assert int((controlled[0].int() - source.int()).abs().max()) <= 2  # explicit attention rounds differently
    assert not torch.equal(controlled[1], plain)
    assert not torch.equal(plain, source)


def test_the_null_condition_of_each_step_is_read_at_that_step(
    model: LatentDiffusion, edit_task: Callable[..., EditTask]
) -> None:
    """So null-text inversion comes nearer in the pictures themselves."""
    ways = (DDIMInversion(), NullText(inner_steps=10, learning_rate=0.05))
    drifted, sought = (invert_image(edit_task(model), way) for way in ways)
    wanted = model.decode(drifted.inverted.trajectory[-1])
    assert float(psnr(sought.reconstruction, wanted)) > float(psnr(drifted.reconstruction, wanted)) + 1


def test_what_is_reported_is_measured_on_bytes(
    dit: LatentDiffusion, edit_task: Callable[..., EditTask], image: Tensor
) -> None:
    inverted = invert_image(edit_task(dit), DDIMInversion())
    with torch.no_grad():
        latents, _ = dit.autoencoder.moments(image[None].float() / 127.5 - 1)
        decoded = to_uint8(dit.autoencoder.decode(latents))

    def decibels(picture: Tensor) -> float:
        return 10 * math.log10(255**2 / float((picture[0].double() - image.double()).square().mean()))

    assert inverted.psnr == pytest.approx(decibels(inverted.reconstruction), abs=1e-4)
    assert inverted.autoencoder_psnr == pytest.approx(decibels(decoded), abs=1e-4)
    assert f"{inverted.psnr:.2f} dB" in inverted.note


def test_euler_is_ddim(dit: LatentDiffusion, edit_task: Callable[..., EditTask]) -> None:
    one, other = (invert_image(edit_task(dit, sampler=s), NullText(inner_steps=2)) for s in (DDIM(STEPS), Euler(STEPS)))
    assert int((one.reconstruction.int() - other.reconstruction.int()).abs().max()) <= 1


@pytest.mark.parametrize(
    ("sampler", "told"),
    [
        (DDPM(4), "sampler=ddpm: inversion needs .*; use sampler=ddim sampler.eta=0"),
        (DDIM(4, eta=0.5), r"sampler.eta=0.5: inversion needs"),
        (Heun(4), "sampler=heun: inversion needs"),
        (DPMSolver2M(4), "sampler=dpm_solver_2m: inversion needs"),
    ],
    ids=["ddpm", "eta", "heun", "dpm_solver_2m"],
)
def test_samplers_that_cannot_be_inverted(
    dit: LatentDiffusion, edit_task: Callable[..., EditTask], sampler: Sampler, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        invert_image(edit_task(dit, sampler=sampler), Direct())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": None}, "needs a picture and the prompt that describes it"),
        ({"sources": None}, "needs a picture and the prompt that describes it"),
        ({"image": torch.zeros(3, 24, 16, dtype=torch.uint8)}, "image: is 24x16 pixels, and the model draws 16x16"),
        ({"sources": ["a red circle " * 20]}, "tokens"),
    ],
    ids=["no image", "no source", "size", "long prompt"],
)
def test_bad_tasks(
    dit: LatentDiffusion, edit_task: Callable[..., EditTask], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        invert_image(edit_task(dit, ClassifierFree(3.0), **changes), Direct())


def test_an_exact_reconstruction_is_called_so(dit: LatentDiffusion, edit_task: Callable[..., EditTask]) -> None:
    inverted = replace(invert_image(edit_task(dit), Direct()), psnr=math.inf, autoencoder_psnr=math.inf)
    assert inverted.note == "reconstruction: exact; the autoencoder alone: exact"
    assert inverted.row.title.endswith(" (exact)")


def test_a_picture_is_inverted_in_the_precision_that_it_is_drawn_in(
    dit: LatentDiffusion, edit_task: Callable[..., EditTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dit, "decode", lambda latents: torch.zeros(len(latents), 3, 16, 16, dtype=torch.uint8))
    task = edit_task(dit, ClassifierFree(3.0), DDIM(1))
    half = replace(task, drawing=replace(task.drawing, precision=choose_precision("bf16", "cpu")))
    plain, rounded = (invert_image(each, Direct()).inverted.trajectory for each in (task, half))
    for exact, other in zip(plain, rounded, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(exact, other)
        assert float((exact - other).abs().mean()) < 0.1 * float(exact.abs().mean())
