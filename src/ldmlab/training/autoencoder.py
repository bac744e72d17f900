"""Training of an autoencoder: likelihood, KL or codebook terms, and a discriminator that starts late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Optimizer

from ldmlab.autoencoders.base import Autoencoder, Reconstruction
from ldmlab.autoencoders.discriminator import PatchDiscriminator, adaptive_weight, hinge_loss
from ldmlab.autoencoders.reconstruction import ReconstructionLoss
from ldmlab.autoencoders.statistics import RunningStatistics
from ldmlab.reduction import mean_over_ranks, means_over_ranks
from ldmlab.training.base import OptimizerFactory, Training, counted
from ldmlab.training.gradients import gradient_norm
from ldmlab.training.learning_rate import LearningRate
from ldmlab.training.precision import loss_scale


class AutoencoderTraining(Training):
    """Two optimizers, stepped by hand. `global_step` counts the autoencoder's alone, so it equals batches seen.

    Args:
        autoencoder: what is trained.
        loss: reconstruction likelihood; its learned variance is trained as well.
        discriminator: judges patches of reconstructions; None trains without it.
        optimizer: from parameters to an optimizer, for both sides; the papers use Adam with betas (0.5, 0.9).
        learning_rate: how the autoencoder's rate changes, see `Training`; the discriminator's is constant.
        kl_weight: of the KL divergence from N(0, 1); 1e-6 in the papers. The variational bound is 1 with an l1 loss
            (Laplace) and 2 with l2, which is twice the Gaussian's.
        kl_start: first step with that term. A strong one before there is anything to reconstruct keeps latents empty.
        kl_warmup_steps: steps over which its weight rises from 0.
        codebook_weight: of the codebook's terms against the reconstruction's, both as means over their values.
        discriminator_weight: of the adversarial loss, times the adaptive weight.
        discriminator_start: first step with the adversarial loss.
        gradient_clip: largest gradient norm of the autoencoder; None for no limit.
        nan_check_every: losses between two looks whether they are finite, see `Training`.
        model_config: what built the autoencoder, see `Training`.
        decay_vectors: False spares norms and biases the weight decay.
        seed: of everything that is random in training, see `Training`.
    """

    leaves_parameters_out = True

    def __init__(
        self,
        autoencoder: Autoencoder,
        loss: ReconstructionLoss,
        discriminator: PatchDiscriminator | None,
        optimizer: OptimizerFactory,
        learning_rate: LearningRate | None = None,
        kl_weight: float = 1e-6,
        kl_start: int = 0,
        kl_warmup_steps: int = 0,
        codebook_weight: float = 1.0,
        discriminator_weight: float = 0.5,
        discriminator_start: int = 50001,
        gradient_clip: float | None = None,
        nan_check_every: int = 50,
        model_config: Mapping[str, Any] | None = None,
        decay_vectors: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, learning_rate, nan_check_every, model_config, decay_vectors, seed)
        self.automatic_optimization = False
        self.autoencoder = autoencoder.to(memory_format=torch.channels_last)
        self.loss = loss
        self.discriminator = discriminator
        self.statistics = RunningStatistics(autoencoder.latent_channels)
        self.kl_weight = kl_weight
        self.kl_start = kl_start
        self.kl_warmup_steps = kl_warmup_steps
        self.codebook_weight = codebook_weight
        self.discriminator_weight = discriminator_weight
        self.discriminator_start = discriminator_start
        self.gradient_clip = gradient_clip
        self._gradient_norm = torch.zeros(())

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """One step of the autoencoder, then, once it has started, one of the discriminator."""
        images = batch["images"]
        result = self.autoencoder(images, self.draws(images))
        self.statistics.update(result.posterior)
        discriminator = self.discriminator if self.global_step >= self.discriminator_start else None
        self._step_autoencoder(images, result, discriminator)
        if discriminator is not None:
            self._step_discriminator(discriminator, images, result.images.detach())

    def _step_autoencoder(
        self, images: Tensor, result: Reconstruction, discriminator: PatchDiscriminator | None
    ) -> None:
        likelihood = self.loss(result.images, images)
        weights = self._weights(images)
        loss = likelihood + sum(weights[name] * term for name, term in result.terms.items())
        if discriminator is not None:
            loss = loss + self._adversarial_loss(discriminator, likelihood, result)
        self.watch.note(mean_over_ranks(loss.detach()), self.global_step)
        optimizer = self._optimizers()[0]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.step_schedulers(self.global_step)
        error = (result.images.detach() - images).abs().mean()
        values = {"loss": loss, "l1": error, **result.terms, **result.figures, "log_variance": self.loss.log_variance}
        values["gradient_norm"] = self._gradient_norm
        of_all = means_over_ranks({f"train/{name}": value.detach() for name, value in values.items()})
        self.log_dict(of_all, batch_size=len(images))

    def _adversarial_loss(
        self, discriminator: PatchDiscriminator, likelihood: Tensor, result: Reconstruction
    ) -> Float[Tensor, ""]:
        """With a codebook the papers' objective is a mean over values, which bounds the weight at another scale."""
        reconstructions = result.images
        values = reconstructions[0].numel() if "codebook" in result.terms else 1
        discriminator.requires_grad_(False)
        adversarial = -discriminator(reconstructions).mean()
        discriminator.requires_grad_(True)
        last_layer, scale = self.autoencoder.decoder.last_layer, loss_scale(self.trainer, likelihood)
        weight = values * adaptive_weight(likelihood / values, adversarial, last_layer, scale)
        self.log("train/adversarial", mean_over_ranks(adversarial.detach()), batch_size=len(reconstructions))
        return self.discriminator_weight * weight * adversarial

    def _step_discriminator(self, discriminator: PatchDiscriminator, images: Tensor, reconstructions: Tensor) -> None:
        loss = hinge_loss(discriminator(images), discriminator(reconstructions))
        of_all = mean_over_ranks(loss.detach())
        self.watch.note(of_all, self.global_step)
        # Through the precision's step, which unscales, and not Lightning's wrapper, which counts it in global_step.
        optimizer = self._optimizers(use_pl_optimizer=False)[1]
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.trainer.precision_plugin.optimizer_step(optimizer, self, closure=_nothing)
        self.log("train/discriminator", of_all, batch_size=len(images))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Measure the autoencoder's gradients, which any scaler has unscaled by now, and clip them."""
        if optimizer is not self._optimizers(use_pl_optimizer=False)[0]:
            return
        parameters = list(self.autoencoder.parameters())
        self._gradient_norm = gradient_norm(parameters)
        if self.gradient_clip is not None:
            clip_grads_with_norm_(parameters, self.gradient_clip, self._gradient_norm)

    def _weights(self, images: Tensor) -> dict[str, float]:
        """Of the bottleneck's terms at this step, against a likelihood that is summed over an image's values."""
        since = self.global_step - self.kl_start
        warmup = min(1.0, max(0.0, (since + 1) / max(1, self.kl_warmup_steps)))
        return {"kl": self.kl_weight * warmup, "codebook": self.codebook_weight * images[0].numel()}

    def validation_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """PSNR in dB of reconstructions from the posterior's mean, averaged over the images that are not exact."""
        images = batch["images"]
        reconstructions = self.autoencoder.reconstruct(self.autoencoder.posterior(images).mean)
        error = (reconstructions.clamp(-1, 1) - images).square().flatten(1).mean(dim=1)[: counted(batch, len(images))]
        ratios = 10 * torch.log10(4 / error[error != 0])  # a blank image easily comes back exactly
        self.note_validation("val/psnr", ratios)

    def new_optimizers(self) -> list[Optimizer]:
        """The optimizers of autoencoder and discriminator, without a state."""
        optimizers = [self.new_optimizer([*self.autoencoder.parameters(), *self.loss.parameters()])]
        if self.discriminator is not None:
            optimizers.append(self.new_optimizer(self.discriminator.parameters()))
        return optimizers

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every training, with the latent statistics of now."""
        super().on_save_checkpoint(checkpoint)
        if self.statistics.batches > 0:
            self.autoencoder.set_statistics(*self.statistics.result())
            checkpoint["state_dict"] = self.state_dict()

    def _optimizers(self, use_pl_optimizer: bool = True) -> list[Any]:
        optimizers = self.optimizers(use_pl_optimizer)
        return optimizers if isinstance(optimizers, list) else [optimizers]


def _nothing() -> None:
    """There is nothing to compute inside a step: its gradients are there."""
