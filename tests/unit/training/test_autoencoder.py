from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.autoencoders.discriminator import PatchDiscriminator
from ldmlab.autoencoders.reconstruction import ReconstructionLoss
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.models.checkpoints import read_checkpoint
from ldmlab.training import autoencoder as training_module
from ldmlab.training.autoencoder import AutoencoderTraining

Make = Callable[..., AutoencoderTraining]
Batches = Callable[..., list[dict[str, Any]]]
Fit = Callable[..., L.Trainer]


class Watch(L.Callback):
    """Notes after every batch: the step count, whether each side has an adversarial loss, the discriminator."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.adversarial: list[bool] = []
        self.discriminator: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, AutoencoderTraining)
        assert module.discriminator is not None
        self.steps.append(trainer.global_step)
        self.adversarial.append("train/adversarial" in trainer.callback_metrics)
        self.discriminator.append(module.discriminator.layers[0].weight.detach().clone())


def test_the_discriminator_starts_at_its_step_and_steps_count_batches(
    autoencoder_training: Make, batches: Batches, fit: Fit
) -> None:
    watch = Watch()
    module = autoencoder_training(discriminator_start=2)
    first = module.discriminator.layers[0].weight.detach().clone()  # type: ignore[union-attr]
    fit(module, batches(5), [watch])
    assert watch.steps == [1, 2, 3, 4, 5]
    assert watch.adversarial == [False, False, True, True, True]
    trained = [not torch.equal(a, b) for a, b in zip([first, *watch.discriminator], watch.discriminator, strict=False)]
    assert trained == [False, False, True, True, True]


def test_before_the_start_the_discriminator_changes_nothing(
    autoencoder_training: Make, batches: Batches, fit: Fit
) -> None:
    one, other = autoencoder_training(), autoencoder_training(discriminator_start=100)
    for module in (one, other):
        torch.manual_seed(1)
        fit(module, batches(3))
    for name, value in one.autoencoder.state_dict().items():
        assert torch.equal(value, other.autoencoder.state_dict()[name]), name


def test_the_learned_variance_is_trained(autoencoder_training: Make, batches: Batches, fit: Fit) -> None:
    module = autoencoder_training(discriminator_start=100)
    trainer = fit(module, batches(3))
    held = [parameter for group in trainer.optimizers[0].param_groups for parameter in group["params"]]
    assert any(parameter is module.loss.log_variance for parameter in held)
    assert module.loss.log_variance.item() != 0.0


def test_latents_have_unit_variance_with_the_statistics_of_the_checkpoint(
    autoencoder_training: Make, batches: Batches, fit: Fit, tmp_path: Path
) -> None:
    module = autoencoder_training(optimizer=partial(torch.optim.SGD, lr=0.0))
    torch.nn.init.constant_(module.autoencoder.to_moments.bias[4:], -4.0)  # else the posterior's noise hides the rest
    seen = batches(4)
    fit(module, seen).save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    stored = read_checkpoint(tmp_path / "a.ckpt").state
    assert torch.equal(stored["autoencoder.latent_std"], module.autoencoder.latent_std)
    assert not torch.allclose(stored["autoencoder.latent_std"], torch.ones(4), atol=0.05)
    fresh = autoencoder_training().autoencoder
    prefix = "autoencoder."
    fresh.load_state_dict({k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)})
    with torch.no_grad():
        mean, std = fresh.moments(torch.cat([batch["images"] for batch in seen]))
    channels = (0, 2, 3)
    torch.testing.assert_close(mean.mean(channels), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close((mean.square() + std.square()).mean(channels), torch.ones(4), atol=1e-3, rtol=0)


def test_clipping_bounds_the_step(autoencoder_training: Make, batches: Batches, fit: Fit) -> None:
    module = autoencoder_training(optimizer=partial(torch.optim.SGD, lr=1.0), gradient_clip=1e-3)
    before = torch.cat([p.detach().flatten().clone() for p in module.autoencoder.parameters()])
    fit(module, batches(1))
    after = torch.cat([p.detach().flatten() for p in module.autoencoder.parameters()])
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=0.02)


def test_the_kl_term_starts_at_its_step_and_warms_up(autoencoder_training: Make, batches: Batches, fit: Fit) -> None:
    def first_step(**settings: int) -> tuple[float, float]:
        module = autoencoder_training(optimizer=partial(torch.optim.SGD, lr=0.0), kl_weight=1.0, **settings)
        values = fit(module, batches(1)).callback_metrics
        return float(values["train/loss"]), float(values["train/kl"])

    without, kl = first_step(kl_start=1)
    assert kl > 1
    assert first_step()[0] - without == pytest.approx(kl, rel=1e-3)
    assert first_step(kl_warmup_steps=4)[0] - without == pytest.approx(kl / 4, rel=1e-3)


def test_validation_gives_the_psnr_of_the_mean(autoencoder_training: Make, batches: Batches, fit: Fit) -> None:
    module = autoencoder_training()
    batch = batches(1)[0]
    value = float(fit(module, batches(2), validation=[batch]).callback_metrics["val/psnr"])
    with torch.no_grad():
        shown = module.autoencoder.reconstruct(module.autoencoder.posterior(batch["images"]).mean).clamp(-1, 1)
    errors = ((shown - batch["images"]) / 2).square().mean((1, 2, 3))  # in [0, 1]
    assert value == pytest.approx(float((-10 * errors.log10()).mean()), rel=1e-4)


def test_an_image_that_comes_back_exactly_does_not_make_the_psnr_infinite(
    autoencoder_training: Make, batches: Batches, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, batch = autoencoder_training(), batches(1)[0]
    images = batch["images"].clamp_(-0.8, 0.8)
    shown = torch.cat([images[:1], images[1:] + 0.1])
    monkeypatch.setattr(module.autoencoder, "reconstruct", lambda mean: shown)
    value = float(fit(module, batches(1), validation=[batch]).callback_metrics["val/psnr"])
    assert value == pytest.approx(10 * math.log10(4 / 0.1**2), rel=1e-4)


def vq_training(codebook_weight: float) -> AutoencoderTraining:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"residual_blocks": 1, "norm_groups": 4, "patch": 4, "codes": 12}
    autoencoder = AutoencoderVQ(8, (1,), **settings)
    still = partial(torch.optim.SGD, lr=0.0)
    loss = ReconstructionLoss("l2", learned_variance=False)
    return AutoencoderTraining(autoencoder, loss, None, still, codebook_weight=codebook_weight)


def test_the_codebooks_weight_is_against_means_as_in_the_papers(batches: Batches, fit: Fit) -> None:
    """The likelihood is summed over an image, so the papers' mean objective is the loss over the values of an image."""
    images = batches(1)[0]["images"]
    for weight in (0.0, 2.0):
        module = vq_training(weight)
        values = fit(module, batches(1)).callback_metrics
        with torch.no_grad():
            result = module.autoencoder(images)
        wanted = (result.images - images).square().mean() + weight * result.terms["codebook"]
        assert float(values["train/loss"]) / (3 * 16 * 16) == pytest.approx(float(wanted), rel=1e-4)
        assert float(values["train/codebook"]) == pytest.approx(float(result.terms["codebook"]), rel=1e-4)
        assert {"train/perplexity", "train/dead_codes"} <= {*values}


def test_a_codebooks_adversarial_weight_is_bounded_as_in_the_papers(
    autoencoder_training: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the objective is a mean: the adaptive weight sees the likelihood of a value, and its bound is for that."""
    seen: list[float] = []

    def weight(reconstruction: torch.Tensor, adversarial: torch.Tensor, *_: Any) -> torch.Tensor:
        seen.append(float(reconstruction.detach()))
        return torch.tensor(1e4)

    monkeypatch.setattr(training_module, "adaptive_weight", weight)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    for module, values in ((vq_training(1.0), 3 * 16 * 16), (autoencoder_training(), 1)):
        module.discriminator = PatchDiscriminator(channels=8, layers=1)
        module.trainer = L.Trainer(accelerator="cpu", logger=False)
        module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
        result = module.autoencoder(images)
        likelihood = module.loss(result.images, images)
        term = module._adversarial_loss(module.discriminator, likelihood, result)
        plain = -module.discriminator(result.images).mean() * module.discriminator_weight
        assert seen.pop() == pytest.approx(float(likelihood.detach()) / values)
        assert float(term.detach()) == pytest.approx(float(plain.detach()) * 1e4 * values, rel=1e-4)


def test_statistics_of_latents_before_quantisation(batches: Batches, fit: Fit, tmp_path: Path) -> None:
    module, seen = vq_training(1.0), batches(3)
    fit(module, seen).save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    with torch.no_grad():
        latents = module.autoencoder.encode(torch.cat([batch["images"] for batch in seen]))
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
