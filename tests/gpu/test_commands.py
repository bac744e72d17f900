"""Whole commands on a GPU, with their defaults there: precision, fused steps with clipping, compiled blocks, resume."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.gpu
ACCELERATOR = "gpu"


@pytest.fixture
def train(
    ldmlab: Callable[..., Any], tiny: dict[str, tuple[str, ...]], shards: Path, autoencoder: Path, tmp_path: Path
) -> Callable[..., Path]:
    """(model, overrides...) -> the folder of a tiny run on the GPU."""

    def run(name: str, *overrides: str) -> Path:
        given = () if name == "autoencoder" else (f"autoencoder_ckpt={autoencoder}/model.safetensors",)
        done = ldmlab(
            "train",
            *tiny[name],
            f"data.path={shards}",
            f"trainer.accelerator={ACCELERATOR}",
            f"output_dir={tmp_path}/run",
            *given,
            *overrides,
        )
        assert done.code == 0, done.err
        return tmp_path / "run"

    return run


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16", "tf32", "fp32"])
@pytest.mark.parametrize("name", ["dit", "unet", "autoencoder"])
def test_training(name: str, precision: str, train: Callable[..., Path]) -> None:
    """Of experiments with a fused optimizer and clipped gradients."""
    folder = train(name, f"precision={precision}")
    assert len(losses(folder)) == 4
    assert all(map(math.isfinite, losses(folder)))
    assert (folder / "model.safetensors").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_goes_on_with_its_scale(precision: str, train: Callable[..., Path]) -> None:
    train("dit", f"precision={precision}")
    folder = train("dit", f"precision={precision}", "ckpt_path=last", "trainer.max_steps=6")
    assert len(losses(folder)) == 6
    assert all(map(math.isfinite, losses(folder)))


@pytest.mark.parametrize("name", ["dit", "autoencoder"])
def test_compiled_training(name: str, train: Callable[..., Path]) -> None:
    assert all(map(math.isfinite, losses(train(name, "compile=true"))))


@pytest.mark.parametrize("precision", ["auto", "fp16", "tf32", "fp32"])
def test_drawing_and_editing(precision: str, ldmlab: Callable[..., Any], tmp_path: Path) -> None:
    common = ("device=cuda", f"precision={precision}", "sampler.steps=3", "n=2")
    for words in (("sample", "a red star"), ("edit", "source=a red star", "target=a blue star")):
        done = ldmlab(*words, *common, f"output_dir={tmp_path}/{words[0]}")
        assert done.code == 0, done.err
        assert list((tmp_path / words[0]).rglob("*.png"))
