"""Anybody's pictures are measured as a model's are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ldmlab.evaluation.given.opening import open_pictures
from ldmlab.evaluation.given_pictures import evaluate_given, measure_given
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.base import Metric
from ldmlab.metrics.distribution.frechet import FrechetDistance, frechet_distance
from ldmlab.metrics.distribution.inception_score import InceptionScore
from ldmlab.metrics.fidelity.psnr import PSNR, psnr
from ldmlab.metrics.scenes.accuracy import SceneAccuracy
from ldmlab.ranks import Ranks

from .stand_in import StandIn

CPU = torch.device("cpu")


@pytest.fixture
def pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)


@pytest.fixture
def npz(pixels: Any, tmp_path: Path) -> Path:
    np.savez(tmp_path / "a.npz", pixels)
    return tmp_path / "a.npz"


@pytest.fixture
def other(pixels: Any, tmp_path: Path) -> Path:
    """A folder of other pictures: darker ones."""
    (tmp_path / "other").mkdir()
    for number, picture in enumerate(pixels // 2):
        Image.fromarray(picture).save(tmp_path / f"other/{number:03d}.png")
    return tmp_path / "other"


def test_the_figures_are_those_of_the_features(npz: Path, other: Path) -> None:
    extractor, mine, theirs = StandIn(), open_pictures(npz, "pictures"), open_pictures(other, "reference", n=9)
    features = [extractor.features(each.pictures(range(each.n))["images"]).double() for each in (theirs, mine)]
    record = evaluate_given(mine, theirs, {"fid": FrechetDistance()}, extractor, device=CPU, called="fid")
    assert record["metrics"]["FID-stand_in"] == pytest.approx(frechet_distance(*features), rel=1e-9)
    assert (record["metrics"]["n_fake"], record["metrics"]["n_real"]) == (12, 9)
    told = {
        "n": 12, "n_reference": 9, "pictures": str(npz), "pictures_chosen": "all", "reference": str(other),
        "pictures_fingerprint": mine.fingerprint, "reference_fingerprint": theirs.fingerprint, "metric": "fid",
        "reference_kind": "folder", "reference_chosen": "9 of 12, drawn with seed 0", "extractor": "stand-in",
        "picture_size": (16, 16), "reference_size": (16, 16), "resized_to": None, "checkpoint": None, "sampler": None,
    }  # fmt: skip
    assert {name: record["manifest"][name] for name in told} == told
    assert any(note.startswith("12 pictures are compared with 9 of reference=") for note in record["notes"])


def test_other_sizes_are_told(npz: Path, other: Path) -> None:
    small = open_pictures(other, "reference", image_size=8)
    notes = evaluate_given(open_pictures(npz, "pictures"), small, {"fid": FrechetDistance()}, StandIn(), device=CPU)[
        "notes"
    ]
    assert "pictures of 16 x 16 are compared with ones of 8 x 8; the extractor resizes both" in notes


def test_metrics_that_find_nothing_to_measure_are_told(npz: Path) -> None:
    def told(**metrics: Metric) -> list[str]:
        notes: list[str] = evaluate_given(open_pictures(npz, "pictures"), None, metrics, StandIn(), device=CPU)["notes"]
        return [note for note in notes if "found nothing to measure" in note]

    assert told(scene_accuracy=SceneAccuracy()) == [
        "metric=scene_accuracy: found nothing to measure in these pictures; choose another metric"
    ]
    assert not told(scene_accuracy=SceneAccuracy(), inception_score=InceptionScore(splits=1))


def test_several_ranks_give_the_figures_of_one(npz: Path, other: Path, on_ranks: Callable[..., list[Any]]) -> None:
    def measured(ranks: Ranks) -> Any:
        sets = (open_pictures(npz, "pictures", batch_size=5), open_pictures(other, "reference", batch_size=5))
        metrics: dict[str, Metric] = {"fid": FrechetDistance(), "is": InceptionScore(2)}
        return measure_given(*sets, metrics, StandIn(), shares=Shares(ranks)).figures

    assert on_ranks(2, measured) == [measured(Ranks())] * 2


def test_each_picture_is_compared_with_its_own(npz: Path, other: Path, tmp_path: Path) -> None:
    for path in other.iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    mine, theirs = open_pictures(npz, "pictures", batch_size=5), open_pictures(other, "reference")
    found = measure_given(mine, theirs, {"psnr": PSNR()}, StandIn()).figures
    pair = [each.pictures(range(12))["images"] for each in (mine, theirs)]
    assert found["PSNR"] == pytest.approx(float(psnr(*pair).mean()))
    with pytest.raises(ValueError, match=r"^reference=.*: holds 9 pictures for 12, and a metric compares each"):
        measure_given(mine, open_pictures(other, "reference", n=9), {"psnr": PSNR()}, StandIn())
    with pytest.raises(ValueError, match=r"^reference=.*: pictures are 8 x 8 for 16 x 16; give image_size= for both"):
        measure_given(mine, open_pictures(other, "reference", image_size=8), {"psnr": PSNR()}, StandIn())
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in other.iterdir():
        (renamed / path.name.replace("x003", "w003")).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"^reference=.*: has x000 where .*renamed has w003"):
        measure_given(open_pictures(renamed, "pictures"), theirs, {"psnr": PSNR()}, StandIn())


def test_what_cannot_be_measured_is_refused(npz: Path) -> None:
    pictures = open_pictures(npz, "pictures")
    for metric in (FrechetDistance(), PSNR()):
        with pytest.raises(ValueError, match=r"^reference: metric=one compares with other pictures; give reference=F"):
            measure_given(pictures, None, {"one": metric}, StandIn())
    with pytest.raises(ValueError, match=r"^metric: there is none"):
        measure_given(pictures, None, {}, StandIn())
