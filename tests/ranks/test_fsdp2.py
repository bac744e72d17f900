"""Shares of weights on 2 and 4 ranks against the whole on one, as `ldmlab train` makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .jobs import rows, train
from .together import together

pytestmark = pytest.mark.ranks
STEPS = 50

FIGURES = {"train/loss": 1e-5, "val/loss": 1e-5, "train/gradient_norm": 1e-3}
"""By how much they may differ. The norm shows more of what Adam makes of rounding, where a gradient is all but zero."""
Words = tuple[str, ...]


@pytest.fixture(scope="module")
def words(tiny: dict[str, Words], shards: Path, autoencoder: Path) -> dict[str, Words]:
    """Overrides of a DiT of two blocks, and of a UNet with dropout, that train for 50 steps and draw attention maps."""
    data = (f"data.path={shards}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    length = (f"trainer.max_steps={STEPS}", "trainer.val_check_interval=25", "checkpoint_every=30", "grid_every=25")
    few = ("~callbacks.cost", "trainer.gradient_clip_val=0.5", "grid_attention=true", "training.ema_decay=0.9")
    shared = (*data, *length, *few)
    return {
        "dit": (*tiny["dit"], *shared, "backbone.depth=2"),
        "unet": (*tiny["unet"], *shared, "backbone.multipliers=[1,1]", "backbone.dropout=0.1"),
    }


@pytest.fixture(scope="module")
def run(words: dict[str, Words], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(backbone, ranks, further overrides...) -> the folder of such a run, made once."""
    made: dict[Any, Path] = {}

    def folder(backbone: str, ranks: int, *more: str) -> Path:
        key = (backbone, ranks, *more)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("run")
            own = (*words[backbone], f"trainer.devices={ranks}", f"output_dir={made[key]}", *more)
            together(train, *own, ranks=ranks, patience=400)
        return made[key]

    return folder


def same_curves(run: Path, other: Path, begin: int = 0) -> None:
    """Every figure of every step, and the averaged weights as one vector: a single bias may have no gradient."""
    pairs = list(zip(rows(run)[begin:], rows(other)[begin:], strict=True))
    for name, most in FIGURES.items():
        values = [(float(a[name]), float(b[name])) for a, b in pairs if a.get(name) or b.get(name)]
        assert len(values) == (2 - begin // 25 if name == "val/loss" else STEPS - begin)
        assert max(abs(a - b) for a, b in values) < most, name
    states = [load_file(each / "model.safetensors") for each in (run, other)]
    assert states[0].keys() == states[1].keys()
    ours, theirs = (torch.cat([each[name].float().flatten() for name in states[0]]) for each in states)
    assert (ours - theirs).norm() < 1e-3 * ours.norm()


@pytest.mark.parametrize(("backbone", "ranks"), [("dit", 2), ("dit", 4), ("unet", 2)])
def test_curves_are_those_of_one_process_and_of_ddp(run: Callable[..., Path], backbone: str, ranks: int) -> None:
    shared = run(backbone, ranks, "strategy=fsdp2", "checkpoint_async=true")
    same_curves(run(backbone, 1), shared)
    if ranks == 2:
        same_curves(run(backbone, ranks, "strategy=ddp"), shared)
    pictures = sorted(path.name for path in (shared / "pictures").iterdir())
    assert pictures == [f"step-00000{step}{kind}.png" for step in (25, 50) for kind in ("-attention", "")]


@pytest.mark.parametrize(("ranks", "strategy"), [(1, "auto"), (2, "ddp"), (2, "fsdp2")], ids=["one", "ddp", "fsdp2"])
def test_a_checkpoint_of_four_ranks_is_continued(run: Callable[..., Path], ranks: int, strategy: str) -> None:
    whole = run("dit", 1)
    four = run("dit", 4, "strategy=fsdp2", "checkpoint_async=true")
    ckpt = next(path for path in (four / "previous.ckpt",))
    rest = run("dit", ranks, f"strategy={strategy}", f"ckpt_path={ckpt}")
    steps = [row["step"] for row in rows(rest)]
    assert steps == [str(step) for step in range(30, STEPS)]
    assert [a["train/loss"][:6] for a in rows(whole)[30:]] == [b["train/loss"][:6] for b in rows(rest)]


def test_a_checkpoint_is_the_file_of_one_process(run: Callable[..., Path]) -> None:
    one, four = (
        torch.load(folder / "last.ckpt", weights_only=True)
        for folder in (run("dit", 1), run("dit", 4, "strategy=fsdp2", "checkpoint_async=true"))
    )
    assert list(one) == list(four)
    assert described(one) == described(four)


def described(value: Any) -> Any:
    """What is where in a checkpoint, without the numbers."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.stride()
    if isinstance(value, dict):
        return {key: described(each) for key, each in value.items() if key not in ("callbacks", "loops")}
    return [described(each) for each in value] if isinstance(value, list) else type(value)
