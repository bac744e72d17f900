"""Training of a latent diffusion model, whatever its backbone and conditioner."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer

from ldmlab.adapters.base import adapter_parameters
from ldmlab.backbones.checkpointing import Checkpointing
from ldmlab.backbones.dropout import droppers, give_keys, take_keys
from ldmlab.conditioners.base import Conditioner
from ldmlab.diffusion.timestep_sampling import TimestepSampling, Uniform
from ldmlab.draws import Draws
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.reduction import mean_over_ranks
from ldmlab.training.base import OptimizerFactory, Training, counted
from ldmlab.training.ema import EMA
from ldmlab.training.gradients import gradient_norm
from ldmlab.training.learning_rate import LearningRate
from ldmlab.training.randomness import validation_draws
from ldmlab.training.strategies.fsdp2 import FSDP2
from ldmlab.training.strategies.shares import outline


class LossesAt(NamedTuple):
    """The losses of a batch of B samples, each at its timestep of so many steps."""

    timesteps: Int[Tensor, " B"]
    losses: Float[Tensor, " B"]
    steps: int

    def first(self, count: int) -> LossesAt:
        """The losses of the first samples alone.

        Args:
            count: how many.
        """
        return LossesAt(self.timesteps[:count], self.losses[:count], self.steps)


class LatentDiffusionTraining(Training):
    """Epsilon (or another target) on latents of a frozen autoencoder, with condition dropout and EMA.

    Batches hold "images" (B,3,fH,fW), or "moments" (B,2C,H,W) from the latent cache, and what the conditioner reads.

    Args:
        model: the parts; its autoencoder is frozen here.
        optimizer: from parameters to an optimizer.
        learning_rate: how its rate changes, see `Training`.
        timestep_sampling: at which timesteps it trains; uniform if not given. Validation is always uniform.
        condition_dropout: probability that a sample trains without its condition.
        ema_decay: of the averaged denoiser and conditioner.
        sample_posterior: train on draws from the autoencoder's posterior, as the papers do, or on its mean.
        activation_checkpointing: keep the inputs of the backbone's blocks alone, and compute the rest again for the
            gradient: less memory, a third more time.
        nan_check_every: steps between two looks whether losses are finite, see `Training`.
        model_config: what built the model, see `Training`.
        decay_vectors: False spares norms and biases the weight decay.
        seed: of everything that is random in training, see `Training`.

    Attributes:
        outline: the model without its weights, where each rank holds but a share of these; else None.
        losses_at: the losses of the last batch, on their device, for callbacks; None before the first.
    """

    outline: LatentDiffusion | None = None
    losses_at: LossesAt | None = None

    def __init__(
        self,
        model: LatentDiffusion,
        optimizer: OptimizerFactory,
        learning_rate: LearningRate | None = None,
        timestep_sampling: TimestepSampling | None = None,
        condition_dropout: float = 0.1,
        ema_decay: float = 0.9999,
        sample_posterior: bool = True,
        activation_checkpointing: bool = False,
        nan_check_every: int = 50,
        model_config: Mapping[str, Any] | None = None,
        decay_vectors: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, learning_rate, nan_check_every, model_config, decay_vectors, seed)
        if activation_checkpointing:
            _checkpoint_blocks(model.denoiser.backbone)
        if not 0 <= condition_dropout < 1:
            raise ValueError(f"condition_dropout={condition_dropout}: the probability must lie in [0, 1)")
        model.autoencoder.requires_grad_(False)
        self.model = model
        self.timestep_sampling = timestep_sampling or Uniform()
        self.condition_dropout = condition_dropout
        self.leaves_parameters_out = condition_dropout == 0  # those of the null condition
        self._droppers = droppers(model)
        self.sample_posterior = sample_posterior
        self.ema = EMA(model.named_parameters(), ema_decay)
        self._averaged = ExitStack()

    def configure_model(self) -> None:
        """Keep this rank's share of what is trained, where the Trainer's strategy is `FSDP2`."""
        strategy = self.trainer.strategy
        if isinstance(strategy, FSDP2) and self.outline is None:
            object.__setattr__(self, "outline", outline(self.model))  # seen, not owned
            for part in reversed([*self.model.conditioner.modules()]):
                if isinstance(part, Conditioner):  # an inner one first: it is asked by itself
                    strategy.share(part, methods=("null",))
            strategy.share(self.model.denoiser.backbone)
            self.ema.follow(self.model)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Make tensors of what the conditioner reads, so that they reach the device with the rest of the batch."""
        batch = self.model.conditioner.as_tensors(batch)
        if not torch.cuda.is_available() or self.device.type != "cuda":
            return batch
        return {key: value.pin_memory() if isinstance(value, Tensor) else value for key, value in batch.items()}

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Float[Tensor, ""]:
        """The mean loss of a batch."""
        samples = _samples(batch)
        draws = self.draws(samples)
        give_keys(self._droppers, draws, samples.device)
        loss = self._losses(batch, self.timestep_sampling, self.condition_dropout, draws).mean()
        of_all = mean_over_ranks(loss.detach())
        self.watch.note(of_all, self.global_step)
        self.log("train/loss", of_all, batch_size=len(samples))
        return loss

    def on_after_backward(self) -> None:
        """Keys of dropout are for one pass, and the one that may be made again for its gradient."""
        take_keys(self._droppers)

    def validation_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """The loss of the averaged weights, with the same noise at every validation."""
        samples = _samples(batch)
        full = self._full_batch() or len(samples)
        draws = validation_draws(batch_index, len(samples), full, self.global_rank, self.world, samples.device)
        with self.ema.swapped():
            losses = self._losses(batch, Uniform(), 0.0, draws)
        count = counted(batch, len(losses))
        self.note_validation("val/loss", losses[:count])
        if self.losses_at is not None:
            self.losses_at = self.losses_at.first(count)

    def on_validation_epoch_start(self) -> None:
        """Put the averages into a shared model once, and not for each batch."""
        super().on_validation_epoch_start()
        if isinstance(self.trainer.strategy, FSDP2):
            self._averaged.enter_context(self.ema.swapped())

    def on_validation_epoch_end(self) -> None:
        """Take them out."""
        self._averaged.close()
        super().on_validation_epoch_end()

    def new_optimizers(self) -> list[Optimizer]:
        """The optimizer over everything that is trained, without a state."""
        return [self.new_optimizer(p for p in self.model.parameters() if p.requires_grad)]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the gradients, which are unscaled by now and not yet clipped."""
        self.log("train/gradient_norm", gradient_norm(self.model.parameters()))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Update the averages, and the learning rate, once an optimizer step."""
        super().optimizer_step(*args, **kwargs)
        self.ema.update()
        self.step_schedulers(self.global_step + 1)  # this one is counted once it is over

    def stored(self, state: dict[str, Any]) -> dict[str, Any]:
        """All; where an adapter is trained, what is not its base's."""
        own = adapter_parameters(self.model)
        if not own:
            return state
        model = "model."
        return {n: t for n, t in state.items() if not n.startswith(model) or n.removeprefix(model) in own}

    def _losses(
        self,
        batch: Mapping[str, Any],
        timestep_sampling: TimestepSampling,
        dropout: float,
        draws: Draws,
    ) -> Float[Tensor, " B"]:
        denoiser, conditioner = self.model.denoiser, self.model.conditioner
        batch = conditioner.complete(batch, draws)
        latents = self._latents(batch, draws)
        cond = conditioner.drop(conditioner(batch), dropout, len(latents), draws)
        noise = draws.randn_like(latents)
        drawn = timestep_sampling.draw(draws.total, len(denoiser.schedule), latents.device, draws.generator)
        timesteps = draws.take(drawn)
        losses = denoiser.loss(latents, noise, timesteps, cond)
        self.losses_at = LossesAt(timesteps, losses.detach(), len(denoiser.schedule))
        return losses

    @torch.no_grad()
    def _latents(self, batch: Mapping[str, Any], draws: Draws) -> Float[Tensor, "B C H W"]:
        if "moments" in batch:
            mean, std = batch["moments"].float().chunk(2, dim=1)
        else:
            mean, std = self.model.autoencoder.moments(batch["images"])
        return mean + std * draws.randn_like(mean) if self.sample_posterior else mean

    def _full_batch(self) -> int | None:
        """Samples that each rank has of a full batch of validation, if the loader says so."""
        loader = self.trainer.val_dataloaders if self._trainer else None
        return getattr(loader, "full_batch", None) or getattr(loader, "batch_size", None)


def _checkpoint_blocks(backbone: nn.Module) -> None:
    if not isinstance(backbone, Checkpointing):
        raise ValueError(
            f"training.activation_checkpointing=true: {type(backbone).__name__} has no blocks to keep the inputs of; "
            "use a backbone that derives from Checkpointing"
        )
    backbone.checkpointing = True


def _samples(batch: Mapping[str, Any]) -> Tensor:
    samples: Tensor = batch["moments"] if "moments" in batch else batch["images"]
    return samples
