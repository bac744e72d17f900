"""A measurement below the published rows."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from ldmlab.evaluation.published.rows import published
from ldmlab.evaluation.published.table import Beside


@pytest.fixture
def result() -> dict[str, Any]:
    """A text model on 40 pictures of 32 px, by lite0."""
    return {
        "metrics": {"FID-lite0": 152.438, "IS-lite0": None, "diversity-lite0": 0.3},
        "errors": {"FID-lite0": 2.31},
        "manifest": {
            "n": 40,
            "extractor": "efficientnet-lite0",
            "picture_size": (32, 32),
            "checkpoint": "runs/mine/model.safetensors",
            "parameters": 1_454_294_526,
            "table": "coco256",
            "reference": "data/heldout",
            "reference_kind": "shards",
            "n_reference": 40,
        },
    }


def beside(result: dict[str, Any]) -> Beside:
    found = Beside.of(result)
    assert found is not None
    return found


def test_ours_is_the_last_row(result: dict[str, Any]) -> None:
    *rows, own = beside(result).lines()
    assert [row[0] for row in rows] == [row.model for row in published("coco256").rows]
    assert rows[2] == ["GLIDE", "12.24", "-", "6B", "NEPR"]
    assert own == ["mine", "152.4 +- 2.3 (lite0)", "infinite (lite0)", "1.45B", "ours"]


def test_each_mark_is_explained(result: dict[str, Any]) -> None:
    assert beside(result).reasons() == [
        "N  pictures measured: 40 here, 30000 there",
        "E  extractor: efficientnet-lite0 here, inception-2015 there",
        "P  size in pixels: 32 here, 256 there",
        "R  reference: 40 held-out pictures of data/heldout here, MS-COCO validation set there",
    ]


def test_models_are_named_where_papers_differ(result: dict[str, Any]) -> None:
    result["manifest"] |= {"sampler": "DDIM", "steps": 2, "guidance_config": {"_target_": "a.NoGuidance"}}
    wanted = "t  steps: 2 here, 277 (GLIDE); 250 (LDM-KL-8, LDM-KL-8-G) there"
    assert wanted in beside(result).reasons()
    assert "t  steps: 2 here, 277 or 250 there" in beside(result).reasons(whole=False)


def test_a_page_has_rows_reasons_and_sources(result: dict[str, Any]) -> None:
    page = beside(result).markdown()
    assert "| LDM-KL-8-G | 12.63 | 30.29 | 1.45B | NEPR |" in page
    assert page.index("| LDM-KL-8-G |") < page.index("| mine |")
    assert "- N  pictures measured: 40 here, 30000 there" in page
    assert "- printed in Rombach et al. 2022 (arXiv:2112.10752) Table 2" in page
    assert "- Make-A-Scene: Gafni et al. 2022 (arXiv:2203.13131)" in page


def test_a_csv_has_a_column_for_everything(result: dict[str, Any]) -> None:
    *rows, own = csv.DictReader(io.StringIO(beside(result).csv()))
    assert (own["model"], float(own["FID"]), float(own["FID_error"]), own["IS"]) == ("mine", 152.438, 2.31, "")
    assert rows[-1]["not_comparable"] == "n; extractor; image_size; reference"
    assert (rows[-1]["guidance_scale"], rows[-1]["drawn_otherwise"]) == ("1.5", "")
    assert own["params"] == "1.45B"
    assert all(row["printed_in"] for row in rows)


def test_nothing_to_stand_beside(result: dict[str, Any]) -> None:
    assert Beside.of({**result, "metrics": {"diversity": 0.3}}) is None
    result["manifest"]["table"] = None
    assert Beside.of(result) is None


def test_what_was_measured_alike_is_said_to_be(result: dict[str, Any]) -> None:
    result["metrics"] = {"FID": 12.0}
    result["manifest"] |= {"n": 30_000, "picture_size": (256, 256), "reference": None}
    found = beside(result)
    assert found.lines()[0][-1] == "nothing"
    assert found.reasons() == ["as far as the papers tell, all was measured alike"]
