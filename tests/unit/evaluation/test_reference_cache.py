"""What metrics take of a reference is kept: exact, used by whoever measures the same, and by nobody else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.evaluation.given.opening import open_pictures
from ldmlab.evaluation.given_pictures import measure_given
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.reference_cache import ReferenceCache
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.base import Metric
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.ranks import Ranks

from .stand_in import StandIn

N = 10
OnRanks = Callable[..., list[Any]]


class Kept(Metric):
    """Keeps features, and how large pictures' values are, batch by batch."""

    rows: list[Tensor]

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k = k
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_sum("brightness")

    def update_reference(self, features: Float[Tensor, "B F"], images: UInt8[Tensor, "B 3 H W"]) -> None:
        self.rows.append(features)
        self.brightness = self.brightness + images.double().sum()

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in nothing."""

    def compute(self) -> dict[str, float]:
        rows = torch.cat(self.rows)
        return {"rows": float(len(rows)), "spread": float(rows.std()), "brightness": float(self.brightness)}


class Unknown(Metric):
    """Was made with something that nobody can write down."""

    def __init__(self, thing: object) -> None:
        super().__init__()
        self.thing = thing
        self.add_sum("total")

    def update_reference(self, features: Float[Tensor, "B F"]) -> None:
        self.total = self.total + features.sum()

    def update(self, features: Float[Tensor, "B F"]) -> None:
        """Take in nothing."""

    def compute(self) -> dict[str, float]:
        return {"total": float(self.total)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    np.savez(tmp_path / "pictures.npz", np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3), np.uint8))
    return tmp_path / "pictures.npz"


@pytest.fixture
def cache(tmp_path: Path) -> ReferenceCache:
    return ReferenceCache(tmp_path / "cache")


def asked(pictures: Path, reference: PictureSet, cache: ReferenceCache | None, **metrics: Metric) -> tuple[int, object]:
    """How many pictures of the reference passed the network, and the figures."""
    extractor = StandIn()
    found = measure_given(open_pictures(pictures, "pictures"), reference, metrics, extractor, cache=cache)
    return extractor.asked - N, found.figures


def all_metrics() -> dict[str, Metric]:
    return {"fid": FrechetDistance(), "kept": Kept()}


def of_shards(folder: Path, n: int = 12, size: int = 16) -> HeldOut:
    return HeldOut(ShardDataset(ShardIndex.build(folder), size), n)


def test_a_reference_is_looked_at_once(pictures: Path, shards: Path, cache: ReferenceCache) -> None:
    reference = of_shards(shards / "heldout")
    assert asked(pictures, reference, None, **all_metrics())[0] == 12
    first = asked(pictures, reference, cache, **all_metrics())
    again = asked(pictures, of_shards(shards / "heldout"), cache, **all_metrics())
    assert (first[0], again[0]) == (12, 0)
    assert first[1] == again[1]
    assert asked(pictures, reference, cache, fid=FrechetDistance())[0] == 0
    assert asked(pictures, reference, cache, fid=FrechetDistance(), kept=Kept(k=2))[0] == 12
    assert asked(pictures, of_shards(shards / "heldout", n=11), cache, fid=FrechetDistance())[0] == 11
    assert asked(pictures, of_shards(shards / "heldout", size=8), cache, fid=FrechetDistance())[0] == 12


def test_no_pixel_of_a_known_reference_is_read(
    pictures: Path, shards: Path, cache: ReferenceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asked(pictures, of_shards(shards / "heldout"), cache, **all_metrics())[1]

    def never(*_: object) -> None:
        raise AssertionError("a picture is read")

    monkeypatch.setattr(ShardDataset, "__getitem__", never)
    assert asked(pictures, of_shards(shards / "heldout"), cache, **all_metrics()) == (0, first)


def test_ranks_take_what_one_has_kept(pictures: Path, shards: Path, cache: ReferenceCache, on_ranks: OnRanks) -> None:
    def measured(ranks: Ranks) -> tuple[int, object]:
        extractor, reference = StandIn(), of_shards(shards / "heldout")
        mine = open_pictures(pictures, "pictures", batch_size=4)
        found = measure_given(mine, reference, all_metrics(), extractor, shares=Shares(ranks), cache=cache)
        return extractor.asked, found.figures

    first, again = on_ranks(2, measured), on_ranks(2, measured)
    assert [asked for asked, _ in first] == [6 + 12, 4]
    assert [asked for asked, _ in again] == [6, 4]
    assert [figures for _, figures in (*first, *again)] == [measured(Ranks())[1]] * 4


def test_what_changed_is_looked_at_again(pictures: Path, tmp_path: Path, cache: ReferenceCache) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (N, 16, 16, 3), np.uint8)
    path = tmp_path / "reference.npz"
    np.savez(path, pixels)
    stamp = path.stat()

    def measured() -> tuple[int, object]:
        return asked(pictures, open_pictures(path, "reference"), cache, fid=FrechetDistance())

    first, again = measured(), measured()
    assert (first[0], again[0]) == (N, 0)
    assert first[1] == again[1]
    np.savez(path, 255 - pixels)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    changed = measured()
    assert changed[0] == N
    assert changed[1] != first[1]


def test_a_damaged_file_is_made_again(pictures: Path, cache: ReferenceCache, shards: Path) -> None:
    reference = of_shards(shards / "heldout")
    first = asked(pictures, reference, cache, fid=FrechetDistance())
    [path] = cache.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert asked(pictures, reference, cache, fid=FrechetDistance()) == first
    assert asked(pictures, reference, cache, fid=FrechetDistance())[0] == 0
    path.rename(path.with_name("f" * 32 + ".safetensors"))
    assert asked(pictures, reference, cache, fid=FrechetDistance())[0] == 12


def test_a_state_is_not_taken_by_a_network_or_a_metric_that_is_not_its_own(
    pictures: Path, cache: ReferenceCache, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = of_shards(shards / "heldout")
    asked(pictures, reference, cache, fid=FrechetDistance())
    for name, value in (("weights_sha256", "1" * 64), ("suffix", "-other")):
        with monkeypatch.context() as patch:
            patch.setattr(StandIn, name, value)
            assert asked(pictures, reference, cache, fid=FrechetDistance())[0] == (12 if name != "suffix" else 0)
    assert asked(pictures, reference, cache, other=type("Other", (FrechetDistance,), {})())[0] == 12


def test_what_cannot_be_told_apart_is_not_kept(pictures: Path, cache: ReferenceCache, shards: Path) -> None:
    reference = of_shards(shards / "heldout")
    for _ in range(2):
        assert asked(pictures, reference, cache, unknown=Unknown(torch.nn.Identity()))[0] == 12
    assert asked(pictures, reference, cache, unknown=Unknown("a word"))[0] == 12
    assert asked(pictures, reference, cache, unknown=Unknown("a word"))[0] == 0
    assert asked(pictures, reference, cache, unknown=Unknown("another"))[0] == 12


def test_a_folder_that_cannot_be_written_to_costs_the_cache_alone(
    pictures: Path, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = ReferenceCache(tmp_path / "file" / "cache")
    assert asked(pictures, of_shards(shards / "heldout"), cache, fid=FrechetDistance())[0] == 12
    assert "what was taken of the reference is not kept" in caplog.text
