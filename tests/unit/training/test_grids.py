from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

from ldmlab.conditioners.image import complete_each
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.samplers.ddpm import DDPM
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.grids import Draw, PictureGrid, reconstruction_drawer, sample_drawer, task_drawer
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

Fit = Callable[..., L.Trainer]
Batches = Callable[..., list[dict[str, Any]]]


class Around(L.Callback):
    """Notes random states and training modes after each batch; one goes before the grid and one after it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        modes = [part.training for part in module.modules()]
        kinds = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        self.seen.append((modes, kinds))


def check(module: L.LightningModule, grid: PictureGrid, fit: Fit, data: list[Any]) -> None:
    before, after = Around(), Around()
    fit(module, data, [before, grid, after])
    assert before.seen == after.seen


def drawer(module: LatentDiffusionTraining, *prompts: str) -> Draw:
    drawing = Drawing(DDPM(steps=2), ClassifierFree(2.0), range(len(prompts)))
    return sample_drawer(module, drawing, {"captions": prompts}, prompts)


def test_samples_leave_randomness_and_modes_alone(
    diffusion_training: Callable[..., LatentDiffusionTraining], batches: Batches, fit: Fit, tmp_path: Path
) -> None:
    module = diffusion_training()
    module.model.autoencoder.eval()
    draw = drawer(module, "a red star", "a blue circle")
    check(module, PictureGrid(draw, tmp_path / "pictures", every_n_steps=1), fit, batches(2))
    assert not module.model.autoencoder.training
    assert module.model.denoiser.training
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["step-0000001.png", "step-0000002.png"]


def test_samples_are_those_of_the_averaged_weights(
    diffusion_training: Callable[..., LatentDiffusionTraining], batches: Batches, fit: Fit
) -> None:
    module = diffusion_training(ema_decay=0.0)
    fit(module, batches(2))
    draw = drawer(module, "a red star")
    expected = draw()[0]
    with torch.no_grad():
        for name, parameter in module.model.named_parameters():
            if name.startswith("denoiser"):
                parameter.zero_()
    assert torch.equal(draw()[0], expected)


def test_reconstructions_leave_randomness_and_modes_alone(
    autoencoder_training: Callable[..., AutoencoderTraining], batches: Batches, fit: Fit, tmp_path: Path
) -> None:
    module = autoencoder_training(discriminator_start=0)
    draw = reconstruction_drawer(module, lambda: torch.zeros(2, 3, 16, 16))
    grid = PictureGrid(draw, tmp_path / "pictures", every_n_steps=2)
    check(module, grid, fit, batches(5))
    names = [path.name for path in sorted((tmp_path / "pictures").iterdir())]
    assert names == ["step-0000002.png", "step-0000004.png"]
    sheet = np.asarray(Image.open(tmp_path / "pictures" / names[0]))
    assert tuple(sheet[40, 40]) == (128, 128, 128)  # the first original: images of zeros are grey


@pytest.mark.parametrize("trouble", ["pictures", "drawing", "writing", "W&B"])
def test_a_grid_that_fails_is_told_of_once_and_training_goes_on(
    diffusion_training: Callable[..., LatentDiffusionTraining],
    batches: Batches,
    fit: Fit,
    tmp_path: Path,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise {"drawing": RuntimeError("out of memory"), "writing": OSError(28, "No space left on device")}.get(
            trouble, ConnectionError("gone")
        )

    module = diffusion_training()
    if trouble == "pictures":
        torch.nn.init.constant_(module.model.autoencoder.decoder.to_images.bias, float("nan"))
    elif trouble == "drawing":
        monkeypatch.setattr(module.model, "decode", fail)
    elif trouble == "writing":
        monkeypatch.setattr("ldmlab.training.callbacks.grids.write_png", fail)
    else:
        monkeypatch.setattr("ldmlab.training.callbacks.grids.show", fail)
    averages = {name: value.data_ptr() for name, value in module.ema.averaged_state().items()}
    trainer = fit(
        module, batches(3), [PictureGrid(drawer(module, "a red star"), tmp_path / "pictures", every_n_steps=1)]
    )
    assert trainer.global_step == 3
    told = [record.getMessage() for record in caplog.records if "grid of pictures" in record.getMessage()]
    assert len(told) == 1
    assert "failed at step 1, and training goes on" in told[0]
    assert {name: value.data_ptr() for name, value in module.ema.averaged_state().items()} == averages
    assert module.model.denoiser.training


def test_the_last_step_is_drawn_once(
    autoencoder_training: Callable[..., AutoencoderTraining], batches: Batches, fit: Fit, tmp_path: Path
) -> None:
    calls: list[int] = []
    module = autoencoder_training()

    def draw() -> tuple[torch.Tensor, None]:
        calls.append(module.global_step)
        return torch.zeros(1, 3, 8, 8, dtype=torch.uint8), None

    fit(module, batches(5), [PictureGrid(draw, tmp_path, every_n_steps=3)], max_steps=4)
    assert calls == [3, 4]


def test_a_task_is_shown_between_its_naive_answer_and_the_truth(
    diffusion_training: Callable[..., LatentDiffusionTraining], batches: Batches, fit: Fit, tmp_path: Path
) -> None:
    conditioner = Inpainting()
    module, data = diffusion_training(conditioner), batches(2)
    batch = complete_each(conditioner, data[0], range(8))
    draw = task_drawer(module, conditioner, Drawing(DDPM(steps=2), ClassifierFree(2.0), range(8)), batch)
    check(module, PictureGrid(draw, tmp_path / "pictures", every_n_steps=1, columns=3), fit, data)
    pictures, titles = draw()
    naive, drawn, truth = pictures.unflatten(0, (8, 3)).unbind(1)
    assert titles[:3] == ["mean of the known pixels", "a red star", "truth"]
    known = ~batch["masks"][:, None].expand(-1, 3, -1, -1)
    assert torch.equal(drawn[known], truth[known])
    assert torch.equal(naive[known], truth[known])
    assert not torch.equal(drawn, naive)
