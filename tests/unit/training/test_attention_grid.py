"""Heat maps beside the pictures during training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import WandbLogger

from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.pictures.heatmaps import SMALLEST
from ldmlab.samplers.ddpm import DDPM
from ldmlab.training.callbacks.attention import attention_drawer
from ldmlab.training.callbacks.grids import DrawSheet, PictureGrid, sample_drawer
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

Training = Callable[..., LatentDiffusionTraining]
PROMPTS = ["a red star", "star"]
WAYS: tuple[Any, ...] = (Drawing(DDPM(steps=2), ClassifierFree(2.0), [0, 1]), {"captions": PROMPTS}, PROMPTS)


def drawer(module: LatentDiffusionTraining) -> DrawSheet:
    return attention_drawer(module, *WAYS)


def test_both_sheets_are_written_and_logged(
    diffusion_training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[tuple[str, int]] = []
    monkeypatch.setattr(WandbLogger, "log_image", lambda self, key, images, step: logged.append((key, step)))
    wandb = WandbLogger(offline=True, save_dir=tmp_path)
    trainer: Any = SimpleNamespace(global_step=2, max_steps=4, is_global_zero=True, loggers=[wandb])
    module = diffusion_training()
    grid = PictureGrid(sample_drawer(module, *WAYS), tmp_path / "pictures", every_n_steps=2, maps=drawer(module))
    grid.on_train_batch_end(trainer, module)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["step-0000002-attention.png", "step-0000002.png"]
    assert logged == [("pictures", 1), ("attention", 1)]  # the step of its losses


def test_maps_are_those_of_the_averaged_weights_on_the_pictures_of_the_grid(
    diffusion_training: Training, batches: Callable[..., list[dict[str, Any]]], fit: Callable[..., L.Trainer]
) -> None:
    module = diffusion_training(ema_decay=0.0)
    fit(module, batches(2))
    module.eval()
    sheet = np.asarray(drawer(module)())
    pictures, _ = sample_drawer(module, *WAYS)()
    large = pictures[0].repeat_interleave(SMALLEST // 16, 1).repeat_interleave(SMALLEST // 16, 2).permute(1, 2, 0)
    top = sheet.shape[0] - 2 * (SMALLEST + 6 + 41) - 6
    assert np.array_equal(sheet[top + 6 : top + 6 + SMALLEST, 6 : 6 + SMALLEST], large.numpy())
    with torch.no_grad():
        for name, parameter in module.model.named_parameters():
            if name.startswith("denoiser"):
                parameter.zero_()
    assert np.array_equal(np.asarray(drawer(module)()), sheet)


def test_a_model_without_words_is_refused_before_training(diffusion_training: Training) -> None:
    with pytest.raises(ValueError, match="grid_attention=true: the model has no cross-attention"):
        drawer(diffusion_training(ClassLabel(classes=2, width=16)))
