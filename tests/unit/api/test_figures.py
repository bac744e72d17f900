"""Figures of a measurement in Python: how they are shown, and two of them compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ldmlab.api.figures import Figures


def figures(fid: float, n: int = 100) -> Figures:
    metrics: dict[str, Any] = {"FID": fid, "PSNR": None, "n": n}
    return Figures({"metrics": metrics, "errors": {"FID": 0.5}, "notes": ["few"], "manifest": {"n": n}})


def test_errors_are_shown_and_saved(tmp_path: Path) -> None:
    found = figures(12.0)
    assert repr(found) == "FID: 12.00 +- 0.50\nPSNR: infinite\nn: 100"
    assert "<tr><td>FID</td><td>12.00 +- 0.50</td></tr>" in found._repr_html_()
    saved = json.loads(found.save(tmp_path / "metrics.json").read_text())
    assert saved["errors"] == {"FID": 0.5}
    assert repr(Figures(saved)) == repr(found)


def test_two_are_compared() -> None:
    difference = figures(12.0).compare(figures(10.0))
    assert difference.keys() == {"FID"}
    assert (difference["FID"].value, difference["FID"].error) == (2.0, pytest.approx(0.5**0.5))
    assert difference["FID"].p_value == pytest.approx(0.0047, abs=1e-4)
    with pytest.raises(ValueError, match=r"^figures: they were measured with another n; compare those of the same$"):
        figures(12.0).compare(figures(10.0, n=50))
