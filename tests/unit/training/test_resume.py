"""A run that dies and goes on ends with the same bits as one that never stopped."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.checkpoints import read_lightning
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

MODULES: dict[str, type[L.LightningModule]] = {
    "autoencoder": AutoencoderTraining,
    "vq": AutoencoderTraining,
    "dit": LatentDiffusionTraining,
}
RUNS = {
    "autoencoder with a discriminator": (
        "autoencoder",
        ["discriminator=patch", "discriminator.channels=8", "training.discriminator_start=2"],
    ),
    "autoencoder with a codebook": ("vq", []),
    "diffusion on images": ("dit", ["sampler=ddpm", "cache_latents=false"]),
    "diffusion on cached latents": ("dit", ["trainer.accumulate_grad_batches=2", "training.condition_dropout=0.5"]),
}
PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "config")


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


def losses(folder: Path) -> dict[int, str]:
    """The loss of every step, as written; of a step that was done twice the last one."""
    with open(folder / "metrics.csv", newline="") as file:
        return {int(row["step"]): row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]}


def dying(step: int, original: Callable[..., Any]) -> Callable[..., Any]:
    def training_step(module: L.LightningModule, batch: Any, index: int) -> Any:
        if module.global_step == step:
            raise ValueError("the power fails")
        return original(module, batch, index)

    return training_step


@pytest.mark.parametrize("name", RUNS)
def test_resume_equals_uninterrupted_bit_for_bit(
    name: str,
    tiny: dict[str, tuple[str, ...]],
    shards: Path,
    ldmlab: Callable[..., Any],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """8 batches an epoch; the run dies in the sixth step, has a checkpoint of the fourth, and ends after the tenth."""
    kind, more = RUNS[name]
    words = ["train", *tiny[kind], f"data.path={shards}", *more, "trainer.max_steps=10", "checkpoint_every=4"]
    if kind == "dit":
        words.append(f"autoencoder_ckpt={request.getfixturevalue('autoencoder') / 'model.safetensors'}")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    done = ldmlab(*words, f"output_dir={whole}")
    assert done.code == 0, done.err
    with monkeypatch.context() as patch:
        patch.setattr(MODULES[kind], "training_step", dying(5, MODULES[kind].training_step))
        assert "the power fails" in ldmlab(*words, f"output_dir={parted}").refusal()
    assert read_lightning(parted / "last.ckpt")["global_step"] == 4
    torch.rand(7)  # the state that the process happens to have does not matter
    done = ldmlab(*words, f"output_dir={parted}", "ckpt_path=last")
    assert done.code == 0, done.err
    one, other = (read_lightning(folder / "last.ckpt") for folder in (whole, parted))
    assert [d for part in PARTS for d in differences(one[part], other[part], part)] == []
    assert differences(one["ShardDataModule"], other["ShardDataModule"]) == []
    assert differences(one["callbacks"]["RngState"], other["callbacks"]["RngState"]) == []
    assert len(losses(whole)) == 10
    assert losses(whole) == losses(parted)
