from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.precision import HalfWeights, Mixed, resolve_precision, training_precision

Fit = Callable[..., L.Trainer]
Batches = Callable[..., list[dict[str, Any]]]
MakeAutoencoder = Callable[..., AutoencoderTraining]
MakeDiffusion = Callable[..., LatentDiffusionTraining]


def scaled(scale: float) -> Mixed:
    """fp32 arithmetic, with a scaler of its own: what is left of fp16 is the scale alone."""
    plugin = Mixed("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000))
    plugin.autocast_context_manager = lambda: torch.autocast("cpu", enabled=False)  # type: ignore[method-assign]
    return plugin


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("32", "32-true"),
        (32, "32-true"),
        (None, "32-true"),
        ("16", "16-mixed"),
        (16, "16-mixed"),
        ("bf16", "bf16-mixed"),
    ],
)
def test_short_names_are_read_as_lightning_reads_them(name: str | int | None, full: str) -> None:
    assert resolve_precision(name) == full


def test_auto_is_fp32_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_precision("auto") == "32-true"


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("16-true", "16-mixed"),
        ("64-true", "32-true"),
        (64, "32-true"),
        ("transformer-engine", "bf16-mixed"),
        ("bf16-mixd", "choose one of"),
    ],
)
def test_what_nothing_is_trained_in_is_refused_with_the_fix(name: str | int, fix: str) -> None:
    with pytest.raises(ValueError, match=rf"trainer\.precision={name}: .*{fix}"):
        resolve_precision(name)


@pytest.mark.parametrize(
    ("name", "lightnings", "found", "full"),
    [
        ("auto", None, "fp32", "32-true"),
        ("auto", "auto", "fp32", "32-true"),
        ("bf16", None, "bf16", "bf16-mixed"),
        ("fp32", None, "fp32", "32-true"),
        ("auto", "bf16-true", "bf16", "bf16-true"),
        ("bf16", "bf16-true", "bf16", "bf16-true"),
        ("auto", 16, "fp16", "16-mixed"),
        ("fp32", 32, "fp32", "32-true"),
    ],
)
def test_a_run_has_one_precision_by_two_names(name: str, lightnings: str | int | None, found: str, full: str) -> None:
    precision, theirs = training_precision(name, lightnings, torch.device("cpu"))
    assert (precision.name, theirs) == (found, full)


@pytest.mark.parametrize(
    ("name", "lightnings", "told"),
    [
        ("fp32", "bf16-mixed", r"^trainer\.precision=bf16-mixed: is bf16, and precision=fp32; give one of them$"),
        ("bf16", 16, r"^trainer\.precision=16: is fp16, and precision=bf16"),
        ("fp16", None, r"^precision=fp16: device=cpu has no fp16"),
        ("auto", "64-true", r"^trainer\.precision=64-true: .*32-true"),
    ],
)
def test_names_that_contradict_each_other_or_the_device_are_refused(
    name: str, lightnings: str | int | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        training_precision(name, lightnings, torch.device("cpu"))


@pytest.mark.parametrize("fused", [True, False])
def test_a_scale_changes_no_step_of_a_clipped_diffusion_model(
    diffusion_training: MakeDiffusion, batches: Batches, fit: Fit, fused: bool
) -> None:
    ends = []
    for scale in (1.0, 4.0):
        module = diffusion_training()
        module.make_optimizer = partial(torch.optim.Adam, lr=1e-2, eps=1.0, fused=fused)  # so that size matters
        torch.manual_seed(1)
        fit(module, batches(2), plugins=[scaled(scale)], gradient_clip_val=0.05)
        ends.append(weights(module.model))
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("fused", [True, False])
def test_a_scale_changes_no_step_of_an_autoencoder_and_its_discriminator(
    autoencoder_training: MakeAutoencoder, batches: Batches, fit: Fit, fused: bool
) -> None:
    """Steps, clipping and the adaptive weight see gradients without it, and the discriminator's step is not counted."""
    ends = []
    for scale in (1.0, 4.0):
        optimizer = partial(torch.optim.Adam, lr=1e-2, eps=1.0, fused=fused)
        module = autoencoder_training(discriminator_start=1, optimizer=optimizer, gradient_clip=0.5)
        torch.manual_seed(1)
        trainer = fit(module, batches(3), plugins=[scaled(scale)])
        assert trainer.global_step == 3
        assert trainer.precision_plugin.scaler.get_scale() == scale
        ends.append(weights(module))
    assert any(name.startswith("discriminator.") for name in ends[0])
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-4, atol=1e-6)


def test_a_step_that_overflows_is_skipped_and_the_run_goes_on(
    autoencoder_training: MakeAutoencoder, batches: Batches, fit: Fit
) -> None:
    """The adaptive weight too is made of gradients that overflow then."""
    module = autoencoder_training(discriminator_start=1, gradient_clip=1.0)
    before = weights(module.autoencoder)
    trainer = fit(module, batches(2), plugins=[scaled(1e38)])
    assert trainer.global_step == 2
    assert trainer.precision_plugin.scaler.get_scale() < 1e38
    for name, value in weights(module.autoencoder).items():
        assert torch.equal(value, before[name]), name


def test_half_weights_are_averaged_in_fp32_and_drawn_with_them(
    diffusion_training: MakeDiffusion, batches: Batches, fit: Fit
) -> None:
    module = diffusion_training(ema_decay=0.9999)
    fit(module, batches(3), validation=batches(1), plugins=[HalfWeights("cpu")])
    trained = {name: p for name, p in module.model.named_parameters() if p.requires_grad}
    assert {p.dtype for p in trained.values()} == {torch.bfloat16, torch.float32}
    assert {p.dtype for p in module.model.autoencoder.parameters()} == {torch.float32}
    for name, average in module.ema.averaged_state().items():
        assert average.dtype == torch.float32, name
    with module.ema.swapped():
        assert {p.dtype for p in trained.values()} == {torch.float32}
    assert {p.dtype for p in trained.values()} == {torch.bfloat16, torch.float32}
