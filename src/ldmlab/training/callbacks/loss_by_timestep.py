"""How well a model predicts at little and at much noise: its loss by quartile of the timesteps."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.training.callbacks.show import log_row
from ldmlab.training.callbacks.throughput import is_logged
from ldmlab.training.latent_diffusion import LatentDiffusionTraining, LossesAt

QUARTILES = 4
HELD = 64
"""Batches whose losses wait on the device until they are added up."""


class LossByTimestep(L.Callback):
    """Logs `train/loss_q1` (the quarter of the timesteps with the least noise) to `train/loss_q4` (the most), and of
    every validation `val/loss_q1` to `val/loss_q4`.

    Means over the samples of all ranks; in training over those since they were last logged. A quartile into which no
    sample fell has no figure. Losses stay on their device until a row is due, so no step between waits for it. What is
    no diffusion model is left alone.
    """

    def __init__(self) -> None:
        self._training, self._validation = QuartileMeans(), QuartileMeans()
        self._logged = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """The step that a run goes on from has its row already."""
        self._logged = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Note the losses of a batch, and log at every logged step."""
        self._training.note(module)
        if is_logged(trainer, trainer.global_step) and trainer.global_step != self._logged:
            self._logged = trainer.global_step
            means = self._training.take(trainer, module)
            log_row(trainer, {f"train/loss_q{quartile}": mean for quartile, mean in means.items()}, self._logged)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """A validation that was broken off is forgotten."""
        self._validation = QuartileMeans()

    def on_validation_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Note the losses of a batch."""
        self._validation.note(module)

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Log those of the whole validation."""
        for quartile, mean in self._validation.take(trainer, module).items():
            module.log(f"val/loss_q{quartile}", mean, batch_size=1, sync_dist=True)


class QuartileMeans:
    """Sums of losses, and how many there are of them, by quartile of the timesteps."""

    def __init__(self) -> None:
        self._noted: list[LossesAt] = []
        self._sums: Float[Tensor, "2 quartiles"] | None = None

    def note(self, module: L.LightningModule) -> None:
        """Keep the losses of the batch that a module has just seen."""
        if isinstance(module, LatentDiffusionTraining) and module.losses_at is not None:
            self._noted.append(module.losses_at)
            module.losses_at = None
            if len(self._noted) >= HELD:
                self._add()

    def take(self, trainer: L.Trainer, module: L.LightningModule) -> dict[int, float]:
        """The means over all ranks by number of the quartile, from 1 on; those without a sample are left out."""
        if not isinstance(module, LatentDiffusionTraining):
            return {}
        self._add()
        sums = torch.zeros(2, QUARTILES, device=module.device) if self._sums is None else self._sums
        self._sums = None
        totals, counts = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        return {i: total / count for i, (total, count) in enumerate(zip(totals, counts, strict=True), 1) if count}

    def _add(self) -> None:
        if not self._noted:
            return
        steps = self._noted[0].steps
        timesteps = torch.cat([each.timesteps for each in self._noted])
        losses = torch.cat([each.losses for each in self._noted])
        self._noted = []
        within = timesteps * QUARTILES // steps == torch.arange(QUARTILES, device=timesteps.device)[:, None]
        sums = torch.stack([torch.where(within, losses.float(), 0.0).sum(dim=1), within.float().sum(dim=1)])
        self._sums = sums if self._sums is None else self._sums + sums
