"""Models conditioned on pictures from the command line: train, go on, evaluate; and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
SMALL = (
    "data.image_size=32",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "scheduler.warmup_steps=1",
    "checkpoint_every=1",
    "grid_every=2",
    "sampler.steps=2",
    "backbone.width=32",
    "backbone.depth=1",
    "backbone.heads=2",
    "min_psnr=0",
)
TEXT = tuple(f"conditioner.text.{key}={value}" for key, value in (("width", 32), ("depth", 1), ("heads", 2)))


@pytest.fixture(scope="module")
def words(shards: Path, autoencoder: Path) -> tuple[str, ...]:
    """The training of a tiny inpainting model that reads text, but for its folder."""
    paths = (f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    return ("train", "experiment=editing/inpainting", *SMALL, *TEXT, *paths)


@pytest.fixture(scope="module")
def trained(words: tuple[str, ...], ldmlab: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny inpainting model that reads text."""
    folder = tmp_path_factory.mktemp("runs") / "inpainting"
    done = ldmlab(*words, f"output_dir={folder}")
    assert done.code == 0, done.err
    return folder


@pytest.mark.slow
def test_it_goes_on(words: tuple[str, ...], trained: Path, ldmlab: Command, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    done = ldmlab(*words, f"output_dir={folder}", "trainer.max_steps=3", "ckpt_path=last")
    assert done.code == 0, done.err


@pytest.mark.slow
def test_evaluation_beside_the_naive_answer(trained: Path, shards: Path, ldmlab: Command, tmp_path: Path) -> None:
    ckpt = trained / "model.safetensors"

    def measure(batch_size: int) -> dict[str, Any]:
        folder = tmp_path / str(batch_size)
        words = (
            f"ckpt={ckpt}",
            f"data.path={shards}",
            "n=9",
            f"batch_size={batch_size}",
            "sampler.steps=2",
            "device=cpu",
        )
        done = ldmlab("evaluate", *words, f"output_dir={folder}")
        assert done.code == 0, done.err
        figures: dict[str, Any] = json.loads((folder / "metrics.json").read_text())["metrics"]
        return figures

    figures = measure(4)
    assert {"PSNR", "SSIM", "FID-lite0", "naive/PSNR", "accuracy/caption", "naive/accuracy/caption"} <= {*figures}
    assert measure(9) == pytest.approx(figures, rel=1e-6)
    assert (trained / "pictures" / "step-0000002.png").is_file()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("sample", "a red star"), "this model draws from a picture; give it one: ldmlab edit method=image_to_image"),
        (("evaluate", "n=2", "pictures_per_caption=2"), "pictures_per_caption=2: this model draws from pictures"),
    ],
)
def test_refusals(asked: tuple[str, ...], told: str, trained: Path, shards: Path, ldmlab: Command) -> None:
    command, *rest = asked
    path = [f"data.path={shards}"] if command == "evaluate" else []
    assert told in ldmlab(command, *rest, *path, f"ckpt={trained / 'model.safetensors'}").refusal()


def test_prompts_for_the_grid_are_refused(words: tuple[str, ...], ldmlab: Command, tmp_path: Path) -> None:
    done = ldmlab(*words, f"output_dir={tmp_path}", "grid_prompts=[a star]")
    assert "grid_prompts: this model draws from pictures" in done.refusal()
