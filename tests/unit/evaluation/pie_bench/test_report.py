"""Tables of edits beside the published rows, and why these do not compare."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ldmlab.evaluation.pie_bench.folder import PieCase
from ldmlab.evaluation.pie_bench.measure import PieMeasured
from ldmlab.evaluation.pie_bench.published import published_figures, published_rows, reasons
from ldmlab.evaluation.pie_bench.report import categories_table, edits_table, numbers_table, paper_table, write_report

NAMES = ["structure_distance-dino-vitb8", "PSNR", "LPIPS-lite0"]
THEIRS: dict[str, Any] = {
    "checkpoint": "runs/sd14.safetensors",
    "n": 700,
    "picture_size": [512, 512],
    "sampler": "DDIM",
    "steps": 50,
    "guidance_scale": 7.5,
    "guidance_config": {"_target_": "ldmlab.guidance.classifier_free.ClassifierFree", "scale": 7.5},
}
METHOD = {"p2p": {"tau": 0.4, "self_tau": 0.6}}


@pytest.fixture
def measured() -> PieMeasured:
    """Three edits of two categories, one exact, one without anything outside its mask."""
    cases = [PieCase(f"k{number}", "17"[number // 2], Path("a.png"), "a", "b, c", (), []) for number in range(3)]
    values = torch.tensor([[0.02, 20.0, 0.3], [0.04, math.inf, 0.1], [0.06, math.nan, math.nan]], dtype=torch.float64)
    pictures = {"": [torch.zeros(3, 8, 8, dtype=torch.uint8)], "p2p": [torch.zeros(3, 8, 8, dtype=torch.uint8)]}
    return PieMeasured(cases, NAMES, {"p2p": values}, [0], pictures, ["a remark"], {"PSNR": True})


def test_the_paper_of_the_benchmark() -> None:
    rows = published_rows()
    assert len(rows) == 11
    direct = next(row for row in rows if row.model.startswith("prompt-to-prompt, direct"))
    assert published_figures(direct) == pytest.approx(
        {
            "structure_distance": 11.65e-3,
            "PSNR": 27.22,
            "LPIPS": 54.55e-3,
            "MSE": 32.86e-4,
            "SSIM": 0.8476,
            "CLIP_similarity": 25.02,
            "CLIP_similarity_edited": 22.10,
        }
    )


def test_ours_stand_below_in_the_units_of_the_paper(measured: PieMeasured) -> None:
    heading, *rows = paper_table(measured)
    assert heading == ["method", "structure_distance-dino-vitb8 x1e3", "PSNR", "LPIPS-lite0 x1e3"]
    assert rows[4] == ["prompt-to-prompt, direct (SD 1.4)", "11.65", "27.22", "54.55"]
    assert rows[-1] == ["p2p", "40 +- 12", "20", "200 +- 100"]


def test_numbers_are_not_multiplied(measured: PieMeasured) -> None:
    heading, *rows = numbers_table(measured)
    own = dict(zip(heading, rows[-1], strict=True))
    assert (own["method"], own["n"], own["PSNR"], own["PSNR_error"]) == ("p2p", "3", "20.0", "")
    assert float(own["LPIPS-lite0"]) == pytest.approx(0.2)
    assert float(own["LPIPS-lite0_error"]) == pytest.approx(0.1)
    assert float(dict(zip(heading, rows[4], strict=True))["LPIPS-lite0"]) == pytest.approx(54.55e-3)


def test_each_category_and_each_edit_has_a_row(measured: PieMeasured) -> None:
    heading, *rows = categories_table(measured)
    assert [row[:4] for row in rows] == [["p2p", "1", "change object", "2"], ["p2p", "7", "change material", "1"]]
    assert dict(zip(heading, rows[1], strict=True))["PSNR"] == ""
    assert [row[1] for row in edits_table(measured)[1:]] == ["k0", "k1", "k2"]
    assert edits_table(measured)[2][6:] == ["inf", "0.1"]
    assert edits_table(measured)[3][6:] == ["", ""]


def test_figures_go_on_by_the_names_of_methods(measured: PieMeasured) -> None:
    found = measured.found
    assert found.figures["p2p/PSNR"] == 20.0
    assert found.errors.keys() == {"p2p/structure_distance-dino-vitb8", "p2p/LPIPS-lite0"}
    assert found.notes == ["a remark"]


def test_all_files_are_written(measured: PieMeasured, tmp_path: Path) -> None:
    write_report(tmp_path, measured, {"metrics": {}}, ["n: 3 here, 700 there"], {"seed": 0})
    names = ["categories.csv", "contact_sheet.png", "edits.csv", "metrics.json", "table.csv", "table.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert list(csv.reader((tmp_path / "edits.csv").open()))[1][4] == "b, c"
    assert (tmp_path / "table.md").read_text().endswith("- n: 3 here, 700 there\n")


def test_why_it_does_not_compare() -> None:
    same = reasons(THEIRS, [*NAMES[:2], "LPIPS-squeeze"], METHOD, words=True)
    assert same == ["model: sd14.safetensors here, Stable Diffusion 1.4 there"]
    changed = {**THEIRS, "n": 70, "picture_size": [64, 64], "steps": 20}
    told = reasons(changed, NAMES, {"p2p": {"tau": 0.8, "self_tau": None}, "sdedit": {}}, words=False)
    for line in (
        "size in pixels: 64 here, 512 there",
        "steps: 20 here, 50 there",
        "network: LPIPS-lite0 here, LPIPS-squeeze there",
        "prompt-to-prompt: method.tau=0.4 method.self_tau=0.6 there",
        "prompt-to-prompt: is told the words that are edited there (words=true)",
    ):
        assert line in told
    assert len(told) == 7
    assert len(reasons(THEIRS, ["PSNR"], {"sdedit": {}}, words=False)) == 1
