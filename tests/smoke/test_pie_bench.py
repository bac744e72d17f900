"""`ldmlab pie_bench`."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..pie_folder import change_entry, write_pie_folder

Command = Callable[..., Any]
LABELS = ["structure_distance-lite0", "PSNR", "LPIPS-lite0", "MSE", "SSIM"]
METHODS = ("prompt_to_prompt inversion=ddim", "sdedit method.strength=0.5")


@pytest.fixture
def words(dit: Path, tmp_path: Path) -> tuple[str, ...]:
    """A tiny model, and a folder of four edits of 32 pixels."""
    folder = write_pie_folder(tmp_path / "pie", "1116")
    return (f"path={folder}", f"ckpt={dit / 'model.safetensors'}", "sampler.steps=2", f"output_dir={tmp_path / 'out'}")


def mse_of(pictures: Path, row: dict[str, str]) -> float:
    """Outside the mask, from the files alone."""
    after, before, mask = (
        np.asarray(Image.open(pictures / name / f"{row['key']}.png"), dtype=np.float64)
        for name in (row["method"].replace(" ", "_"), "given", "mask")
    )
    return float((((after - before) / 255 * (mask == 0)) ** 2).mean())


def test_methods_are_measured_on_the_same_edits(words: tuple[str, ...], ldmlab: Command, tmp_path: Path) -> None:
    chosen = "methods=[" + ",".join(f'"{name}"' for name in METHODS) + "]"
    done = ldmlab("pie_bench", *words, chosen, "words=false", "n=2")
    assert done.code == 0, done.err
    out = tmp_path / "out"
    result = json.loads((out / "metrics.json").read_text())
    assert [*result["metrics"]] == [f"{method}/{label}" for method in METHODS for label in LABELS]
    assert result["manifest"]["n"] == 3
    assert result["manifest"]["edit_config"]["methods"][METHODS[1]]["strength"] == 0.5
    assert [*result["manifest"]["networks"]] == ["structure_distance", "lpips"]
    assert [note for note in result["notes"] if note.startswith("clip_similarity is left out for want of weights: ")]
    rows = list(csv.DictReader((out / "edits.csv").read_text().splitlines()))
    own = [float(row["MSE"]) for row in rows if row["method"] == METHODS[1]]
    assert statistics.mean(own) == pytest.approx(result["metrics"][f"{METHODS[1]}/MSE"])
    assert statistics.stdev(own) / 3**0.5 == pytest.approx(result["errors"][f"{METHODS[1]}/MSE"])
    assert [mse_of(out / "pictures", row) for row in rows] == pytest.approx([float(row["MSE"]) for row in rows])
    kinds = list(csv.DictReader((out / "categories.csv").read_text().splitlines()))
    assert [(row["category"], row["n"], row["meaning"]) for row in kinds[:2]] == [
        ("1", "2", "change object"),
        ("6", "1", "change color"),
    ]
    page = (out / "table.md").read_text()
    assert "| prompt-to-prompt, direct (SD 1.4) | 11.65 | 27.22 | 54.55 | 32.86 | 84.76 |" in page
    assert "size in pixels: 32 here, 512 there" in page
    assert "network: LPIPS-lite0 here, LPIPS-squeeze there" in page
    assert (out / "contact_sheet.png").is_file()
    assert not (out / "measured").exists()


def test_bad_input_is_told_in_one_line_before_a_model_is_loaded(
    words: tuple[str, ...], ldmlab: Command, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_text("no model")
    words = (*words, "methods=[sdedit]", f"ckpt={tmp_path / 'model.safetensors'}")
    for given, told in (
        ("methods=[magic]", "methods=magic: group 'method' has no option 'magic'; choose one of fixed_seed"),
        ("methods=[sdedit,sdedit]", "methods: 'sdedit' stands there twice"),
        ("methods=['sdedit sampler.steps=3']", "sampler.steps=3 is not the method's own"),
        ("methods=['sdedit method.strength=4']", "methods=sdedit method.strength=4: method.strength=4"),
        ("categories=[7]", "categories=7: mapping_file.json has no such edits, but those of 1, 6"),
        ("edit_metric.lpips.weights=nowhere.pth", "'nowhere.pth' does not exist"),
        (f"path={tmp_path}", "mapping_file.json: no such file or directory"),
    ):
        assert told in ldmlab("pie_bench", *words, given).refusal()
    change_entry(tmp_path / "pie", "000000000002", mask=[5000, 1])
    assert "000000000002: its mask begins a run at pixel 5000" in ldmlab("pie_bench", *words).refusal()
