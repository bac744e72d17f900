"""A training run whose data, caches, report and checkpoints lie on a disk that fills."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldmlab.models.checkpoints import CHECKPOINT, read_lightning
from ldmlab.training.export import MODEL

INDEX = shutil.ignore_patterns(".ldmlab_index", "latents-*")
KILOBYTES = (0, 8, 16, 24, 28, 32, 36, 40, 44, 48, 64, 128, 256, 512, 700, 900, 1200)


@pytest.mark.slow
def test_what_is_there_stays_and_the_run_goes_on_where_there_is_room(
    tiny: dict[str, tuple[str, ...]],
    shards: Path,
    autoencoder: Path,
    small_disk: Any,
    ldmlab: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Each start comes a little further: the index, the latents, the checkpoint, the next one, the model."""
    data, run = small_disk.path / "data", small_disk.path / "run"
    words = ["train", *tiny["dit"], f"data.path={data}", f"autoencoder_ckpt={autoencoder / MODEL}", "ckpt_path=auto"]
    words += ["trainer.max_steps=6", f"output_dir={run}"]
    shutil.copytree(shards, data, ignore=INDEX)
    whole = ldmlab(*words)
    assert whole.code == 0, whole.err
    expected = (run / MODEL).read_bytes()
    for folder in (run, data):
        shutil.rmtree(folder)
    shutil.copytree(shards, data, ignore=INDEX)
    steps, refused = 0, []
    for room in KILOBYTES:
        gc.collect()  # files that were taken away keep their room while an index of them is mapped
        small_disk.leave(room * 1024)
        done = ldmlab(*words)
        if done.code:
            refused.append(done.refusal())
            assert "no space left" in refused[-1].lower()
        assert not small_disk.half_written()
        if (run / CHECKPOINT).exists():
            reached = read_lightning(run / CHECKPOINT)["global_step"]
            assert reached >= steps
            steps = reached
    small_disk.free()
    done = ldmlab(*words)
    assert done.code == 0, done.err
    assert (run / MODEL).read_bytes() == expected
    [latents] = (data / "train").glob("latents-train-32-*")
    for path in (latents / "000000.npy", run / CHECKPOINT):
        assert any(f"no space left to write: {path};" in line for line in refused), refused
