"""`filter=` through the commands: what it takes is trained on, gone on with, measured, and told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
WORDS = "filter=words(caption) > 8"


def trained(ldmlab: Command, tiny: Any, shards: Path, folder: Path, *words: str) -> Any:
    """How the training of a tiny autoencoder in a folder ended."""
    return ldmlab("train", *tiny["autoencoder"], f"data.path={shards}", f"output_dir={folder}", *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("filter=aesthetik > 5",), "no sample in {}/train has 'aesthetik'; there are "),
        (("filter=words(caption) > 800",), "keeps 0 of 64 samples in {}/train: loosen it"),
    ],
)
def test_a_filter_that_cannot_be_used_ends_training_before_it_begins(
    ldmlab: Command, tiny: Any, shards: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    line = trained(ldmlab, tiny, shards, tmp_path / "run", *words).refusal()
    assert told.format(shards) in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_with_a_filter_goes_on_and_is_measured_on_what_it_takes(
    ldmlab: Command, tiny: Any, shards: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = trained(ldmlab, tiny, shards, run, WORDS)
    assert done.code == 0, done.err
    log = (run / "train.log").read_text()
    counts = [tuple(map(int, found)) for found in re.findall(r"keeps (\d+) of (\d+) samples; left out:", log)]
    assert [whole for _, whole in counts] == [64, 16]
    assert all(0 < kept < whole for kept, whole in counts)
    assert re.search(r"words\(caption\) > 8 +\d+ +\d+ +0", log)
    line = trained(ldmlab, tiny, shards, run, "trainer.max_steps=6", "ckpt_path=last").refusal()
    assert "was trained with filter=words(caption) > 8, this run has filter=none" in line
    assert trained(ldmlab, tiny, shards, run, WORDS, "trainer.max_steps=6", "ckpt_path=last").code == 0
    figures = {}
    for name, words in (
        ("as trained", ()),
        ("named", (f"data.path={shards}", WORDS)),
        ("all", (f"data.path={shards}",)),
    ):
        folder = tmp_path / name
        done = ldmlab("evaluate", f"ckpt={run / 'model.safetensors'}", "metric=psnr", f"output_dir={folder}", *words)
        assert done.code == 0, done.err
        figures[name] = json.loads((folder / "metrics.json").read_text())["manifest"]["n"]
    assert figures == {"as trained": counts[1][0], "named": counts[1][0], "all": 16}
