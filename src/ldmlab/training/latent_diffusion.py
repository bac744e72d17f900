"""Training of a latent diffusion model, whatever its backbone and conditioner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from ldmlab.backbones.checkpointing import Checkpointing
from ldmlab.diffusion.timestep_sampling import TimestepSampling, Uniform
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.training.ema import EMA
from ldmlab.training.failures import LossWatch, check_finite_state
from ldmlab.training.gradients import gradient_norm
from ldmlab.training.learning_rate import Schedule, learning_rate_factor
from ldmlab.training.memory_format import keep_kernels, lay_out_states
from ldmlab.training.optimizers import optimizer_names

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class LatentDiffusionTraining(L.LightningModule):
    """Epsilon (or another target) on latents of a frozen autoencoder, with condition dropout and EMA.

    Batches hold "images" (B,3,fH,fW), or "moments" (B,2C,H,W) from the latent cache, and what the conditioner reads.

    Args:
        model: the parts; its autoencoder is frozen here.
        optimizer: from parameters to an optimizer.
        timestep_sampling: at which timesteps it trains; uniform if not given. Validation is always uniform.
        condition_dropout: probability that a sample trains without its condition.
        ema_decay: of the averaged denoiser and conditioner.
        sample_posterior: train on draws from the autoencoder's posterior, as the papers do, or on its mean.
        warmup_steps: linear warm-up of the learning rate.
        learning_rate_decay: "constant" or "cosine" (to zero at the trainer's max_steps).
        activation_checkpointing: keep the inputs of the backbone's blocks alone, and compute the rest again for the
            gradient: less memory, a third more time.
        nan_check_every: steps between two looks whether losses are finite, see `LossWatch`.
        model_config: what built the model, stored in every checkpoint as it is.

    Attributes:
        trained_on: the data, see `ldmlab.models.checkpoints.Checkpoint`; stored in every checkpoint as well.
    """

    def __init__(
        self,
        model: LatentDiffusion,
        optimizer: OptimizerFactory,
        timestep_sampling: TimestepSampling | None = None,
        condition_dropout: float = 0.1,
        ema_decay: float = 0.9999,
        sample_posterior: bool = True,
        warmup_steps: int = 500,
        learning_rate_decay: str = "constant",
        activation_checkpointing: bool = False,
        nan_check_every: int = 50,
        model_config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if activation_checkpointing:
            _checkpoint_blocks(model.denoiser.backbone)
        if not 0 <= condition_dropout < 1:
            raise ValueError(f"condition_dropout={condition_dropout}: the probability must lie in [0, 1)")
        model.autoencoder.requires_grad_(False)
        self.model = model
        self.make_optimizer = optimizer
        self.timestep_sampling = timestep_sampling or Uniform()
        self.condition_dropout = condition_dropout
        self.sample_posterior = sample_posterior
        self.warmup_steps = warmup_steps
        self.learning_rate_decay = learning_rate_decay
        self.watch = LossWatch(nan_check_every)
        self.model_config = dict(model_config or {})
        self.trained_on: dict[str, Any] | None = None
        self.ema = EMA(model.named_parameters(), ema_decay)

    def on_train_start(self) -> None:
        """Go on also from a checkpoint of a machine that laid tensors out, or stepped them, otherwise."""
        keep_kernels(self.trainer.optimizers)
        lay_out_states(self.trainer.optimizers)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Make tensors of what the conditioner reads, so that they reach the device with the rest of the batch."""
        batch = self.model.conditioner.as_tensors(batch)
        if not torch.cuda.is_available() or self.device.type != "cuda":
            return batch
        return {key: value.pin_memory() if isinstance(value, Tensor) else value for key, value in batch.items()}

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Float[Tensor, ""]:
        """The mean loss of a batch."""
        loss = self._losses(batch, self.timestep_sampling, self.condition_dropout, generator=None).mean()
        self.watch.note(loss, self.global_step)
        self.log("train/loss", loss, batch_size=_count(batch))
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_index: int) -> None:
        """The loss of the averaged weights, with the same noise at every validation."""
        generator = torch.Generator(self.device).manual_seed(batch_index)
        with self.ema.swapped():
            losses = self._losses(batch, Uniform(), 0.0, generator)
        self.log("val/loss", losses.mean(), prog_bar=True, batch_size=len(losses), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """One optimizer over everything that is trained, stepped with its learning rate."""
        [optimizer] = self.new_optimizers()
        schedule = Schedule(optimizer, self.learning_rate(self.trainer.max_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def new_optimizers(self) -> list[Optimizer]:
        """The optimizer over everything that is trained, without a state."""
        return [self.make_optimizer([p for p in self.model.parameters() if p.requires_grad])]

    def learning_rate(self, steps: int) -> Callable[[int], float]:
        """Its factor at each step of a run of so many. ValueError where there are too few."""
        return learning_rate_factor(self.warmup_steps, steps, self.learning_rate_decay)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the gradients, which are unscaled by now and not yet clipped."""
        self.log("train/gradient_norm", gradient_norm(self.model.parameters()))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Update the averages once an optimizer step."""
        super().optimizer_step(*args, **kwargs)
        self.ema.update()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the model is and was trained on; refuse weights that are not finite."""
        self.watch.look()
        check_finite_state(checkpoint["state_dict"], self.global_step)
        checkpoint["config"] = self.model_config
        checkpoint["data"] = self.trained_on
        checkpoint["optimizers"] = optimizer_names(self.trainer.optimizers)

    def _losses(
        self,
        batch: Mapping[str, Any],
        timestep_sampling: TimestepSampling,
        dropout: float,
        generator: torch.Generator | None,
    ) -> Float[Tensor, " B"]:
        denoiser, conditioner = self.model.denoiser, self.model.conditioner
        batch = conditioner.complete(batch, generator)
        latents = self._latents(batch, generator)
        cond = conditioner.drop(conditioner(batch), dropout, len(latents))
        noise = _randn_like(latents, generator)
        timesteps = timestep_sampling.draw(len(latents), len(denoiser.schedule), latents.device, generator)
        return denoiser.loss(latents, noise, timesteps, cond)

    @torch.no_grad()
    def _latents(self, batch: Mapping[str, Any], generator: torch.Generator | None) -> Float[Tensor, "B C H W"]:
        if "moments" in batch:
            mean, std = batch["moments"].float().chunk(2, dim=1)
        else:
            mean, std = self.model.autoencoder.moments(batch["images"])
        return mean + std * _randn_like(mean, generator) if self.sample_posterior else mean


def _randn_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def _checkpoint_blocks(backbone: nn.Module) -> None:
    if not isinstance(backbone, Checkpointing):
        raise ValueError(
            f"training.activation_checkpointing=true: {type(backbone).__name__} has no blocks to keep the inputs of; "
            "use a backbone that derives from Checkpointing"
        )
    backbone.checkpointing = True


def _count(batch: Mapping[str, Any]) -> int:
    return len(batch["moments"] if "moments" in batch else batch["images"])
