"""Losses by quartile of the timesteps, and the learning rate, against what the module saw."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.training.callbacks.learning_rate import LearningRateCurve
from ldmlab.training.callbacks.loss_by_timestep import HELD, LossByTimestep, QuartileMeans
from ldmlab.training.csv_log import csv_logger
from ldmlab.training.latent_diffusion import LatentDiffusionTraining, LossesAt
from ldmlab.training.learning_rate import LearningRate, constant

Training = Callable[..., LatentDiffusionTraining]


class Seen(L.Callback):
    """Notes the losses of each batch before others take them."""

    def __init__(self) -> None:
        self.train: list[LossesAt] = []
        self.val: list[LossesAt] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self.train.append(module.losses_at)

    def on_validation_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self.val.append(module.losses_at)


def means(seen: list[LossesAt]) -> dict[int, float]:
    timesteps, losses = torch.cat([each.timesteps for each in seen]), torch.cat([each.losses for each in seen])
    quarters = {q: losses[(timesteps * 4 // seen[0].steps) == q - 1] for q in (1, 2, 3, 4)}
    return {q: float(of.mean()) for q, of in quarters.items() if len(of)}


def logged(row: dict[str, str], split: str) -> dict[int, float]:
    return {q: float(value) for q in (1, 2, 3, 4) if (value := row.get(f"{split}/loss_q{q}"))}


def test_a_row_has_the_means_since_the_last_one_and_the_rate_of_its_step(
    diffusion_training: Training, batches: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    seen = Seen()
    module = diffusion_training(learning_rate=LearningRate(partial(constant, warmup_steps=4)))
    callbacks: list[L.Callback] = [seen, LearningRateCurve(), LossByTimestep()]
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=5,
        num_sanity_val_steps=1,
        log_every_n_steps=2,
        val_check_interval=3,
        check_val_every_n_epoch=None,
        logger=csv_logger(str(tmp_path)),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, *(torch.utils.data.DataLoader(batches(n), batch_size=None) for n in (5, 2)))
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    assert logged(rows[1], "train") == pytest.approx(means(seen.train[:2]))
    assert logged(rows[3], "train") == pytest.approx(means(seen.train[2:4]))
    assert logged(rows[2], "val") == pytest.approx(means(seen.val[-2:]))
    base = 1e-2
    assert [float(rows[step]["train/learning_rate"]) for step in (1, 3)] == pytest.approx([base / 2, base])


def test_batches_that_wait_are_added_up_and_quartiles_without_a_sample_have_no_figure() -> None:
    module: Any = LatentDiffusionTraining.__new__(LatentDiffusionTraining)
    torch.nn.Module.__init__(module)
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda sums, reduce_op: 2 * sums))
    found = QuartileMeans()
    for batch in range(HELD + 1):
        module.losses_at = LossesAt(torch.tensor([0, 99]), torch.tensor([1.0, float(batch)]), 100)
        found.note(module)
    module._device = torch.device("cpu")
    assert found.take(trainer, module) == {1: 1.0, 4: HELD / 2}
    assert found.take(trainer, module) == {}
