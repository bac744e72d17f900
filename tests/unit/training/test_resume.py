"""A run that dies and goes on ends with the same bits as one that never stopped."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.models.checkpoints import read_lightning
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

MODULES: dict[str, type[L.LightningModule]] = {
    "autoencoder": AutoencoderTraining,
    "vq": AutoencoderTraining,
    "dit": LatentDiffusionTraining,
}


def crash() -> None:
    raise ValueError("the power fails")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


RUNS: dict[str, tuple[str, list[str], str, int, Callable[[], None], int, int]] = {
    "autoencoder with a discriminator, in a step": (
        "autoencoder",
        ["discriminator=patch", "discriminator.channels=8", "training.discriminator_start=2"],
        "training_step", 5, crash, 2, 4,
    ),
    "autoencoder with a codebook, in a validation that is due at the checkpoint": (
        "vq", [], "validation_step", 4, crash, 2, 4,
    ),
    "diffusion on images, by a signal in a step": (
        "dit", ["sampler=ddpm", "cache_latents=false"], "training_step", 5, terminate, 143, 6,
    ),
    "diffusion on cached latents, by a signal in a validation": (
        "dit", ["trainer.accumulate_grad_batches=2", "training.condition_dropout=0.5", "trainer.val_check_interval=6"],
        "validation_step", 6, terminate, 143, 6,
    ),
}  # fmt: skip
"""What is trained, how, and where it ends: in which step of a kind, by what, with which exit code and checkpoint."""

SLOW = ("autoencoder with a codebook", "diffusion on images")
"""What begins so runs with `make test-slow`: the others go the same ways."""


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two nested structures differ, to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = {*one, *other}
        return [d for k in keys for d in differences(one.get(k), other.get(k), f"{path}/{k}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [d for i, (a, b) in enumerate(zip(one, other, strict=True)) for d in differences(a, b, f"{path}/{i}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [path]
    return [] if one == other else [path]


def rows(folder: Path) -> list[dict[str, str]]:
    """What was logged, as written, but for the speed."""
    with open(folder / "metrics.csv", newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(("images_per_second", "cost/"))} for row in found]


def ending(step: int, end: Callable[[], None], original: Callable[..., Any]) -> Callable[..., Any]:
    def run(module: L.LightningModule, batch: Any, index: int) -> Any:
        if module.global_step == step:
            end()
        return original(module, batch, index)

    return run


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name.startswith(SLOW) else name for name in RUNS]
)
def test_resume_equals_uninterrupted_bit_for_bit(
    name: str,
    tiny: dict[str, tuple[str, ...]],
    shards: Path,
    ldmlab: Callable[..., Any],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """8 batches an epoch, a checkpoint after four steps and after eight, ten steps in all."""
    kind, more, where, step, end, code, saved = RUNS[name]
    words = ["train", *tiny[kind], f"data.path={shards}", "trainer.max_steps=10", "checkpoint_every=4", *more]
    if kind == "dit":
        words.append(f"autoencoder_ckpt={request.getfixturevalue('autoencoder') / 'model.safetensors'}")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    done = ldmlab(*words, f"output_dir={whole}")
    assert done.code == 0, done.err
    with monkeypatch.context() as patch:
        patch.setattr(MODULES[kind], where, ending(step, end, getattr(MODULES[kind], where)))
        done = ldmlab(*words, f"output_dir={parted}")
    told = "the power fails" if end is crash else f"stopped by SIGTERM; the last good checkpoint is {parted}/last.ckpt"
    assert f"ldmlab: {told}" in done.err
    assert done.code == code
    assert read_lightning(parted / "last.ckpt")["global_step"] == saved
    torch.rand(7)  # the state that the process happens to have does not matter
    done = ldmlab(*words, f"output_dir={parted}", "ckpt_path=auto")
    assert done.code == 0, done.err
    one, other = (read_lightning(folder / "last.ckpt") for folder in (whole, parted))
    assert differences(one, other) == []
    assert len({row["step"] for row in rows(whole)}) == len(rows(whole)) == 10
    assert rows(whole) == rows(parted)
    assert (whole / "model.safetensors").read_bytes() == (parted / "model.safetensors").read_bytes()
