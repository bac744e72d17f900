"""`ldmlab benchmark`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
COUNT = 3
QUICK = (f"n={COUNT}", "sampler.steps=8", "guidance.scale=2")


@pytest.mark.parametrize("kind", ["swap", pytest.param("reweight", marks=pytest.mark.slow)])
def test_edits_of_the_shipped_model_are_judged(kind: str, ldmlab: Command, tmp_path: Path) -> None:
    done = ldmlab("benchmark", f"kind={kind}", *QUICK, f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "metrics.json").read_text())
    figures = result["metrics"]
    assert figures["judged"] == COUNT
    assert figures["reached"] >= 0.5
    assert figures["outside"] < figures["fixed_seed/outside"]
    assert result["manifest"]["edit_config"]["kind"] == kind
    rows = list(csv.DictReader((tmp_path / "edits.csv").read_text().splitlines()))
    assert sum(int(row["reached"]) for row in rows) / COUNT == pytest.approx(figures["reached"])
    assert (tmp_path / "contact_sheet.png").is_file()


@pytest.mark.slow
def test_the_baseline_as_method_gives_its_own_figures(ldmlab: Command, tmp_path: Path) -> None:
    done = ldmlab("benchmark", "method=fixed_seed", *QUICK, f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    figures = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert figures["outside/fixed_seed"] == 1.0
    assert all(figures[name] == figures[f"fixed_seed/{name}"] for name in ("reached", "unchanged", "outside"))


def test_a_model_that_draws_no_scene_right_is_refused(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    told = ldmlab("benchmark", model, "sampler.steps=2", f"output_dir={tmp_path / 'out'}").refusal()
    assert "benchmark a model that was trained on shapes, and longer" in told
