"""What `make bench-metrics` measures: both sides give the same figures, and ours takes no longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metrics_bench.__main__ import BEGIN, END, main, page_of, row, turns
from metrics_bench.pictures import picture, write_pictures

NOISE = 1.05
"""What a ratio may come to where two programs take the same time."""
ROOT = Path(__file__).parents[2]


def test_pictures_are_of_one_kind_and_different(tmp_path: Path) -> None:
    folders = write_pictures(tmp_path, 3)
    payloads = {file.read_bytes() for folder in folders for file in folder.glob("*.png")}
    assert [len([*folder.iterdir()]) for folder in folders] == [3, 3]
    assert len(payloads) == 6
    assert np.array_equal(picture(1), picture(1))


def test_the_table_has_medians_and_the_largest_difference() -> None:
    figures = {"FID": 2.0, "KID": 0.0}
    mine = [{"seconds": s, "memory": 500.0, "figures": {"FID": 2.0002, "KID": 1e-8}} for s in (9.0, 5.0, 6.0)]
    theirs = [{"seconds": s, "memory": 1500.0, "figures": figures} for s in (12.0, 8.0, 20.0)]
    line = row("lite0", 2000, {"ours": mine, "theirs": theirs})
    assert line == ["EfficientNet-Lite0", "2 x 2,000", "6", "12", "0.50", "500", "1,500", "1e-04"]
    assert "| EfficientNet-Lite0 | 2 x 2,000 | 6 | 12 | 0.50 |" in page_of([line], 3)


def test_the_page_has_a_place_for_it() -> None:
    page = (ROOT / "docs/performance.md").read_text()
    assert 0 < page.index(BEGIN) < page.index(END)


@pytest.mark.slow
def test_both_sides_give_the_same_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    words = ["--n", "40", "--turns", "1", "--extractors", "lite0,inception", "--out", str(tmp_path / "out")]
    assert main([*words, "--page", str(page)]) == 0
    differ = [float(line.split("|")[-2]) for line in page.read_text().splitlines() if "2 x 40" in line]
    assert len(differ) == 2
    assert max(differ) < 1e-4


@pytest.mark.bench
def test_no_slower_than_torch_fidelity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = row("lite0", 1000, turns("lite0", 1000, 3, tmp_path))
    with capsys.disabled():
        print(f"\n{page_of([line], 3)}")
    assert float(line[4]) < NOISE
