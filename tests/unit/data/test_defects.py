"""Of a folder as a crawl leaves it, every good sample is delivered once an epoch, and every bad one is named."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_bench.spoiled import BAD, ODD, Spoiled, write
from ldmlab.data.audit import audit
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.shards.depth import Depth

SAMPLES = 248


def _pictures(count: int) -> list[bytes]:
    files = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.effect_noise((64, 48), 60 + number).convert("RGB").save(buffer, "JPEG")
        files.append(buffer.getvalue())
    return files


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Spoiled:
    return write(tmp_path_factory.mktemp("spoiled"), _pictures(SAMPLES), in_each=50, each=4)


def _cut_off(spoiled: Spoiled) -> int:
    """How many pictures are seen to be bad only when they are decoded."""
    return sum(kind == "cut off picture" for kind in spoiled.bad.values())


def test_there_are_all_kinds(spoiled: Spoiled) -> None:
    assert len(BAD) >= 14
    assert {*BAD} <= {*spoiled.bad.values()}
    assert {*ODD} == {*spoiled.odd.values()}
    assert len(spoiled.good) + len(spoiled.bad) == SAMPLES + 1


@pytest.mark.parametrize("workers", [0, 2])
def test_every_good_sample_is_delivered_and_every_bad_one_named(spoiled: Spoiled, workers: int) -> None:
    data = ShardDataModule(spoiled.folder, batch_size=1, image_size=16, num_workers=workers, val_samples=0)
    assert len(data.train_set) == len(spoiled.good) + _cut_off(spoiled)
    delivered = Counter(key for batch in data.train_dataloader() for key in batch["keys"])
    assert {*delivered} == {*spoiled.good}
    assert sum(delivered.values()) == len(data.train_set), "what cannot be decoded is replaced"
    named = {each.key or each.shard for each in [*data.train_set.index.problems, *data.train_set.corrupt]}
    twice = {key for key, kind in spoiled.odd.items() if kind == "twice the same key"}
    others = {key for key in named if key.startswith("byte ")}
    assert named - others - twice == {*spoiled.bad}
    assert twice <= named
    assert len(others) == sum(kind == "damaged header" for kind in spoiled.bad.values())


def test_the_table_of_an_audit_that_decodes_names_them_all(spoiled: Spoiled, tmp_path: Path) -> None:
    found = audit(spoiled.folder, depth=Depth(checksums=True, decode=True), report=tmp_path / "audit.csv")
    text = (tmp_path / "audit.csv").read_text()
    assert [key for key in spoiled.bad if key not in text] == []
    assert [key for key, kind in spoiled.odd.items() if key in text and kind != "twice the same key"] == []
    assert len(found.folders[0].index) == len(spoiled.good) + _cut_off(spoiled)
