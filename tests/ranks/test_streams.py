"""Ranks that share a stream: none is lost, and a run goes on where all of their readers were."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from .jobs import rows, train
from .together import together

pytestmark = pytest.mark.ranks


def test_two_ranks_go_on_with_a_stream(tiny: dict[str, tuple[str, ...]], shards: Path, tmp_path: Path) -> None:
    words = [*tiny["autoencoder"], "data=stream", f"data.urls='{shards}/train/*.tar'", "data.shuffle=10"]
    words += ["data.val_samples=4", "data.num_workers=2", "trainer.devices=2", "grid_every=100"]
    words += ["scheduler=constant", "trainer.val_check_interval=4"]
    for name, steps, ckpt in (("whole", 12, "null"), ("parted", 5, "null"), ("parted", 12, "last")):
        own = (f"output_dir={tmp_path / name}", f"trainer.max_steps={steps}", f"ckpt_path={ckpt}")
        together(train, *words, *own, ranks=2)
    whole, parted = (
        [{k: v for k, v in row.items() if k.startswith(("train/", "val/", "step"))} for row in rows(tmp_path / name)]
        for name in ("whole", "parted")
    )
    assert parted == whole
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parted"))
    assert all(one[key].equal(other[key]) for key in one)
