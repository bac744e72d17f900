"""Training on several ranks is training on one: the same noise, dropout, validation and weights, to rounding."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from .jobs import rows, train, train_an_autoencoder_in_float64
from .together import together

pytestmark = pytest.mark.ranks

STEPS = 50
EXACT = 1e-5
"""Relative, over 50 steps."""
KINDS = {
    "unet": ("backbone.dropout=0.2", "training.condition_dropout=0.2", "optimizer.lr=1e-4"),
    "dit": ("cache_latents=false", "trainer.accumulate_grad_batches=2", "data.flip=0.5"),
    "autoencoder": ("discriminator=patch", "discriminator.channels=4", "training.discriminator_start=3"),
    "vq": ("discriminator=patch", "discriminator.channels=4", "training.discriminator_start=3"),
}
ADVERSARIAL_STEPS = 10
"""In float32. What is rounded decides where the discriminator's units change sides, and trainings part."""
MEASURED = ("cost/", "images_per_second", "epoch", "step")
"""Columns of what a run costs, which is never twice the same."""

Run = Callable[..., Path]


@pytest.fixture
def run(tiny: dict[str, tuple[str, ...]], shards: Path, autoencoder: Path, tmp_path: Path) -> Run:
    """(kind, ranks, words, nodes, begun, job) -> the folder of a tiny run, which may go on from another one."""
    own = tmp_path / "shards"
    shutil.copytree(shards, own)

    def started(
        kind: str, ranks: int, *words: str, nodes: int = 1, begun: Path | None = None, job: Callable[..., Any] = train
    ) -> Path:
        for cache in [*own.rglob("latents-*")]:
            shutil.rmtree(cache)
        folder = tmp_path / f"{kind}-{len([*tmp_path.iterdir()])}"
        if begun is not None:
            shutil.copytree(begun, folder)
            words = (*words, "ckpt_path=last")
        if kind in ("dit", "unet"):
            prompts = "grid_prompts=[a red star,a blue star,a red ring]"  # fewer than ranks
            words = (f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", prompts, *words)
        together(
            job, *tiny[kind], f"data.path={own}", "data.val_samples=15", "trainer.val_check_interval=5",
            "grid_every=1000", f"output_dir={folder}", f"trainer.devices={ranks // nodes}",
            f"trainer.num_nodes={nodes}", *words, ranks=ranks, nodes=nodes, patience=400,
        )  # fmt: skip
        return folder

    return started


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """What a run logged, by figure and step."""
    found: dict[str, dict[int, float]] = {}
    for row in rows(folder):
        for name, value in row.items():
            if value and not name.startswith(MEASURED):
                found.setdefault(name, {})[int(row["step"])] = float(value)
    return found


def require_same(folder: Path, other: Path, within: float = EXACT) -> None:
    """The same curves, and weights and pictures that differ by no more than what rounding comes to."""
    one, two = curves(folder), curves(other)
    assert one.keys() == two.keys()
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=within, abs=within), name
    weights, others = (load_file(each / "model.safetensors") for each in (folder, other))
    for name, tensor in weights.items() if "train/l1" not in one else ():  # Adam moves an autoencoder's idle biases
        torch.testing.assert_close(others[name], tensor, rtol=10 * within, atol=10 * within)
    last = [max((each / "pictures").iterdir()) for each in (folder, other)]
    assert last[0].name == last[1].name
    pixels = [np.asarray(Image.open(path)).astype(int) for path in last]
    assert np.abs(pixels[0] - pixels[1]).mean() < 300 * within


@pytest.mark.parametrize("kind", KINDS)
def test_curves_of_2_and_4_ranks_are_those_of_one(run: Run, kind: str) -> None:
    """With dropout, averages, validation on shares that are not equal, cached latents or none, and a discriminator."""
    steps = STEPS if kind in ("unet", "dit") else ADVERSARIAL_STEPS
    words = (*KINDS[kind], f"trainer.max_steps={steps}")
    one = run(kind, 1, *words)
    assert len(curves(one)["train/loss"]) == steps
    for ranks in (2, 4):
        require_same(one, run(kind, ranks, *words))


def test_with_a_discriminator_it_is_rounding_alone_that_differs(run: Run) -> None:
    words = (*KINDS["autoencoder"], f"trainer.max_steps={STEPS}", "trainer.limit_val_batches=0", "~callbacks.grids")
    one, two = (curves(run("autoencoder", ranks, *words, job=train_an_autoencoder_in_float64)) for ranks in (1, 2))
    assert len(one["train/discriminator"]) > STEPS // 2
    for name, curve in one.items():
        assert two[name] == pytest.approx(curve, rel=1e-9), name


def test_two_nodes_are_one(run: Run) -> None:
    require_same(run("unet", 1, *KINDS["unet"]), run("unet", 4, *KINDS["unet"], nodes=2))


def test_a_checkpoint_of_4_ranks_is_continued_on_any_number(run: Run) -> None:
    words = (*KINDS["unet"], "scheduler=constant")
    whole, begun = run("unet", 1, *words, "trainer.max_steps=8"), run("unet", 4, *words)
    for ranks in (1, 2, 4):
        require_same(whole, run("unet", ranks, *words, "trainer.max_steps=8", begun=begun))


def test_the_latent_cache_of_several_ranks_is_that_of_one(run: Run, tmp_path: Path) -> None:
    found = []
    for ranks in (1, 4):
        run("dit", ranks)
        caches = (tmp_path / "shards").rglob("latents-*/*")
        found.append({path.relative_to(tmp_path): path.read_bytes() for path in caches})
    assert len({path.parent for path in found[0]}) == 2
    assert found[0] == found[1]


def test_in_bf16(run: Run) -> None:
    """Sums of gradients are rounded to 8 bits at other places."""
    require_same(*(run("dit", ranks, "precision=bf16") for ranks in (1, 2)), within=2e-2)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["data.batch_size=7"],
            r"^ValueError: data\.batch_size=7: 2 processes do not divide it; give a multiple of 2$",
        ),
        (["trainer.devices=3"], r"^ValueError: trainer\.devices=3 .*: torchrun started 2 processes; ask for as many"),
    ],
    ids=str,
)
def test_what_ranks_cannot_do_is_one_line(run: Run, words: list[str], line: str) -> None:
    with pytest.raises(AssertionError) as caught:
        run("dit", 2, *words)
    assert re.search(line, str(caught.value), re.MULTILINE)
