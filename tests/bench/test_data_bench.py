"""The parts of `make bench-data` that need no other loaders, in a tiny size."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import zeros

import data_bench
from data_bench import decoding, filters, latents, loaders, one, order, page, synthetic
from data_bench.__main__ import main
from data_bench.photos import write_shards
from data_bench.rivals import SIDE, ldmlab
from data_bench.tars import samples_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import taken

FEW = 4
"""Pictures in a batch."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), 5 * FEW + 3, in_each=20, side=24)


def test_photographs_are_shards_of_different_pictures(shards: Path) -> None:
    samples = [sample for path in sorted(shards.glob("*.tar")) for sample in samples_of(path)]
    assert len(samples) == 5 * FEW + 3
    assert len({payload for payload, _ in samples}) == len({caption for _, caption in samples}) == len(samples)
    written = {path: path.stat().st_mtime_ns for path in shards.iterdir()}
    write_shards(shards, 5 * FEW + 3, in_each=20, side=24)
    assert {path: path.stat().st_mtime_ns for path in shards.iterdir()} == written


def test_our_loader_gives_what_is_asked_of_all(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldmlab, "BATCH", FEW)
    ldmlab.prepare(shards, tmp_path)
    batches = list(ldmlab.batches(shards, tmp_path, 0))
    assert len(batches) == 5
    assert one.rate(iter(batches)) > 0
    with pytest.raises(ValueError, match=r"\(2, 3, 8, 8\) with 2 captions"):
        one.rate(iter([(zeros(2, 3, 8, 8), ["a", "b"])]))
    assert batches[0][0].shape == (FEW, 3, SIDE, SIDE)


def test_the_table_has_ratios_to_webdataset() -> None:
    rates = {"ldmlab": {0: [300.0, 310.0, 290.0], 1: [400.0]}, "webdataset": {0: [100.0], 1: [160.0]}}
    text = loaders.text(rates, ["spdl"])
    assert "| ldmlab | 300 (3.00) | 400 (2.50) |" in text
    assert "Not installed here: spdl." in text


def test_sections_are_written_between_the_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PHOTOS", 1)
    monkeypatch.setattr(decoding, "TURNS", 1)
    target = tmp_path / "page.md"
    target.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    assert main(["--sections", "decoding", "--out", str(tmp_path / "out"), "--page", str(target)]) == 0
    text = target.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "### Decoding" in text
    assert "| `simplejpeg`, scaled |" in text
    target.write_text("no marks")
    with pytest.raises(ValueError, match="has no place for the tables"):
        page.write_into(target, tmp_path / "out")
    assert main(["--sections", "reading", "--out", str(tmp_path)]) == 2


def test_filters_are_measured_on_an_index_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "SHARD", 50)
    monkeypatch.setattr(filters, "SIZES", (100,))
    rows = filters.section(tmp_path).splitlines()
    assert len(rows) == 4 + len(filters.FILTERS) + 1
    assert all(row.startswith("| 100 | ") for row in rows[-len(filters.FILTERS) :])
    index = synthetic.synthetic_index(tmp_path / "index", 120)
    assert (len(index), len(index.shards)) == (150, 3)
    assert 0 < len(taken(index, Filter(filters.FILTERS["sd1"]))) < 150


def test_cached_latents_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "BATCH", 8)
    monkeypatch.setattr(latents, "SHAPE", (2, 4, 4))
    found = latents.measured(tmp_path, 100)
    assert found["rate"] > 0
    assert found["bytes"] > 100 * 2 * 4 * 4 * 2


def test_an_order_is_measured_with_and_without_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MILLIONS": (1,), "WORKERS": (0,), "TURNS": 1, "EPOCH": 2}.items():
        monkeypatch.setattr(order, name, value)
    text = order.section(tmp_path)
    assert "| of epoch 1000 | 0." in text
    (row,) = (line for line in text.splitlines() if line.startswith("| 1 million |"))
    assert len(row.split("|")) == 2 + 1 + 6


def test_every_section_can_be_run() -> None:
    for name in data_bench.SECTIONS:
        assert (Path(data_bench.__file__).parent / f"{name}.py").exists()
