"""Statistics in a file take the place of pictures for metrics that compare Gaussians of the 2015 Inception."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from ldmlab.evaluation.given.opening import open_pictures, open_reference
from ldmlab.evaluation.given.statistics import ARRAYS, GivenStatistics
from ldmlab.evaluation.given_pictures import measure_given
from ldmlab.evaluation.reference import notes_on
from ldmlab.metrics.distribution.diversity import Diversity
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.metrics.distribution.precision_recall import PrecisionRecall
from ldmlab.metrics.distribution.spatial_frechet import SpatialFrechetDistance

from ..stand_in import StandIn
from .conftest import Pixels

Floats = NDArray[np.float64]
INCEPTION = "inception-2015"
WIDTH, SPATIAL = 6, 4


class SmallInception(StandIn):
    """A stand-in for the 2015 Inception, whose spatial features are its first ones, doubled."""

    suffix = ""

    def __init__(self) -> None:
        super().__init__(WIDTH, INCEPTION)

    def with_spatial(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images)
        return features, 2 * features[:, :SPATIAL]


@pytest.fixture
def theirs() -> Floats:
    """30 points."""
    return np.random.default_rng(1).normal(size=(30, WIDTH))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as the stand-in."""
    widths = {"features": ("mu", "sigma", WIDTH), "spatial": ("mu_s", "sigma_s", SPATIAL)}
    monkeypatch.setattr("ldmlab.evaluation.given.statistics.ARRAYS", widths)


def statistics(features: Floats, mark: str = "") -> dict[str, Floats]:
    return {f"mu{mark}": features.mean(axis=0), f"sigma{mark}": np.cov(features, rowvar=False)}


def distance(one: Floats, other: Floats) -> float:
    """By roots of the covariances that need no eigenvalues: the centred points themselves."""
    (left, right), apart = ([each - each.mean(axis=0) for each in (one, other)], one.mean(axis=0) - other.mean(axis=0))
    roots = left / np.sqrt(len(one) - 1), right / np.sqrt(len(other) - 1)
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return float(apart @ apart + sum(np.square(root).sum() for root in roots) - 2 * shared)


@pytest.mark.usefixtures("small")
def test_a_distance_to_statistics_is_that_of_the_formula(folder: Path, theirs: Floats, tmp_path: Path) -> None:
    spatial = theirs[:, :SPATIAL] ** 2
    np.savez(tmp_path / "stats.npz", **statistics(theirs), **statistics(spatial, "_s"))
    reference = open_reference(tmp_path / "stats.npz", "reference")
    assert isinstance(reference, GivenStatistics)
    assert (reference.n, reference.kind, reference.parts()) == (0, "statistics", [])
    metrics = {"fid": FrechetDistance(), "sfid": SpatialFrechetDistance(), "diversity": Diversity()}
    pictures = open_pictures(folder, "pictures")
    found = measure_given(pictures, reference, metrics, SmallInception())
    mine = SmallInception().features(pictures.pictures(range(10))["images"]).double().numpy()
    assert found.figures["FID"] == pytest.approx(distance(mine, theirs), rel=1e-9)
    assert found.figures["sFID"] == pytest.approx(distance(2 * mine[:, :SPATIAL], spatial), rel=1e-9)
    assert "n_real" not in found.figures
    notes = notes_on(reference, metrics.values(), 10, pictures.size)
    assert [note.endswith("nobody says of how many pictures its statistics are") for note in notes] == [True]


@pytest.mark.usefixtures("small")
def test_adm_files_hold_pictures_for_other_metrics_and_networks(
    folder: Path, pixels: Pixels, theirs: Floats, tmp_path: Path
) -> None:
    np.savez(tmp_path / "adm.npz", arr_0=pixels[::-1], **statistics(theirs))
    reference = open_reference(tmp_path / "adm.npz", "reference")
    pictures = open_pictures(folder, "pictures")
    metrics = {"fid": FrechetDistance(), "pr": PrecisionRecall()}
    figures = measure_given(pictures, reference, metrics, SmallInception()).figures
    assert (figures["n_real"], figures["precision"], figures["recall"]) == (10, 1, 1)
    mine = SmallInception().features(pictures.pictures(range(10))["images"]).double().numpy()
    assert figures["FID"] == pytest.approx(distance(mine, theirs), rel=1e-9)
    other = measure_given(pictures, reference, {"fid": FrechetDistance()}, StandIn(WIDTH)).figures
    assert other["FID-stand_in"] == pytest.approx(0, abs=1e-9)


@pytest.mark.usefixtures("small")
def test_what_statistics_cannot_serve_is_refused(folder: Path, theirs: Floats, tmp_path: Path) -> None:
    np.savez(tmp_path / "stats.npz", **statistics(theirs))
    pictures, reference = open_pictures(folder, "pictures"), open_reference(tmp_path / "stats.npz", "reference")
    with pytest.raises(ValueError, match=r"holds mu, sigma alone, which are of the 2015 Inception's features"):
        measure_given(pictures, reference, {"fid": FrechetDistance()}, StandIn(WIDTH))
    with pytest.raises(ValueError, match="and PrecisionRecall compares with pictures; leave it out"):
        measure_given(pictures, reference, {"one": PrecisionRecall()}, SmallInception())
    with pytest.raises(ValueError, match="and SpatialFrechetDistance compares with mu_s and sigma_s; leave it out"):
        measure_given(pictures, reference, {"one": SpatialFrechetDistance()}, SmallInception())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mu": np.zeros(64)}, r"mu is float64 \(64,\); of the 2015 Inception it is float64 \(6,\)"),
        ({"mu": np.zeros(6, int)}, r"mu is int64 \(6,\)"),
        ({"sigma": np.full((6, 6), np.nan)}, "sigma holds NaN or infinite numbers"),
        ({"sigma": None}, "holds mu, and no sigma; get it anew"),
        ({"mu": np.array([None] * 6)}, "mu holds Python objects"),
        ({"mu_s": np.zeros(4)}, "and no sigma_s"),
    ],
)
def test_statistics_of_something_else_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    whole = {"mu": np.zeros(6), "sigma": np.eye(6), **change}
    np.savez(tmp_path / "bad.npz", **{name: values for name, values in whole.items() if values is not None})
    with pytest.raises(ValueError, match=rf"^reference=.*bad\.npz: .*{words}"):
        open_reference(tmp_path / "bad.npz", "reference")


def test_the_2015_inception_has_these_widths() -> None:
    assert ARRAYS == {"features": ("mu", "sigma", 2048), "spatial": ("mu_s", "sigma_s", 2023)}
