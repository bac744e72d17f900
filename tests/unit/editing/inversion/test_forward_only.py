"""Negative-prompt and direct inversion: neither seeks anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ldmlab.editing.inversion.base import InversionTask
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.direct import Direct
from ldmlab.editing.inversion.negative_prompt import NegativePrompt
from ldmlab.editing.inversion.pair import draw_inverted
from ldmlab.editing.inversion.real_image import invert_image
from ldmlab.editing.methods.base import EditTask
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.types import Uncontrolled

SOURCE, TARGET = "a small red circle", "a small blue circle"


class Recorder(Uncontrolled):
    """Notes the latents that it is shown."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        self.seen.append(latents)
        return latents


def test_a_negative_prompt_draws_the_source_as_without_guidance(
    model: LatentDiffusion, edit_task: Callable[..., EditTask]
) -> None:
    guided = invert_image(edit_task(model, ClassifierFree(7.5)), NegativePrompt())
    plain = invert_image(edit_task(model, NoGuidance()), DDIMInversion())
    assert torch.equal(guided.inverted.trajectory[0], plain.inverted.trajectory[0])
    assert int((guided.reconstruction.int() - plain.reconstruction.int()).abs().max()) <= 1


@pytest.mark.parametrize("guidance", [NoGuidance(), ClassifierFree(1.0)], ids=["none", "neutral"])
def test_a_negative_prompt_needs_guidance(
    dit: LatentDiffusion, inversion_task: Callable[..., InversionTask], guidance: NoGuidance | ClassifierFree
) -> None:
    with pytest.raises(ValueError, match="inversion=negative_prompt: replaces the null condition"):
        NegativePrompt().invert(inversion_task(dit, guidance))


@pytest.mark.parametrize("both", [False, True])
def test_under_direct_inversion_the_source_is_bitwise_on_the_trajectory(
    model: LatentDiffusion, edit_task: Callable[..., EditTask], both: bool
) -> None:
    task, control = edit_task(model), Recorder()
    inverted = invert_image(task, Direct(both=both))
    source, target = inverted.edit("a small blue circle", lambda rows: control)
    assert len(control.seen) == len(inverted.inverted.trajectory) - 1
    for wanted, x in zip(inverted.inverted.trajectory[1:], control.seen, strict=True):
        assert torch.equal(x[:1], wanted)
        assert not torch.equal(x[1:], wanted)
    assert torch.equal(source, model.decode(inverted.inverted.trajectory[-1]))
    assert torch.equal(source, inverted.reconstruction)
    assert not torch.equal(source, target)
    assert inverted.psnr == inverted.autoencoder_psnr


def test_when_both_are_corrected_the_same_prompt_gives_the_same_picture(
    model: LatentDiffusion, edit_task: Callable[..., EditTask]
) -> None:
    task = edit_task(model)
    source, again = invert_image(task, Direct(both=True)).edit(SOURCE)
    assert torch.equal(source, again)
    source, drifted = invert_image(task, Direct()).edit(SOURCE)
    assert not torch.equal(source, drifted)  # the paper leaves the target's drift


def test_the_target_is_left_alone_where_only_the_source_is_corrected(
    dit: LatentDiffusion, edit_task: Callable[..., EditTask]
) -> None:
    task = edit_task(dit)
    targets = [
        invert_image(task, inversion).edit("a small blue circle")[1] for inversion in (Direct(), DDIMInversion())
    ]
    assert torch.equal(*targets)


def test_direct_inversion_takes_any_guidance(dit: LatentDiffusion, edit_task: Callable[..., EditTask]) -> None:
    for guidance in (NoGuidance(), ClassifierFree(1.0), Autoguidance(2.0, dit.denoiser, dit.conditioner)):
        task = edit_task(dit, guidance)
        inverted = invert_image(task, Direct())
        assert inverted.psnr == inverted.autoencoder_psnr
        source, _ = draw_inverted(dit, task.drawing, (SOURCE, TARGET), inverted.inverted, Uncontrolled())
        assert torch.equal(source, inverted.reconstruction)
