"""The figures of torch-fidelity on the same features, and on the same pictures with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.extractors.inception import Inception2015
from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.metrics.distribution.inception_score import InceptionScore
from ldmlab.metrics.distribution.kernel_distance import KernelDistance
from ldmlab.metrics.distribution.precision_recall import PrecisionRecall
from ldmlab.metrics.feed import Feed
from ldmlab.metrics.measured import measured
from ldmlab.pretrained import inception
from ldmlab.pretrained.weights import sha256_of

from ..bench.random_inception import write_random_inception

pytest.importorskip("torch_fidelity", exc_type=ImportError)

from torch_fidelity import calculate_metrics
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

NAMES = {
    "FID": "frechet_inception_distance",
    "IS": "inception_score_mean",
    "IS_std": "inception_score_std",
    "KID": "kernel_inception_distance_mean",
    "KID_std": "kernel_inception_distance_std",
    "precision": "precision",
    "recall": "recall",
}


def ours(subset_size: int) -> dict[str, Metric]:
    return {
        "fid": FrechetDistance(),
        "is": InceptionScore(),
        "kid": KernelDistance(subset_size=subset_size),
        "prc": PrecisionRecall(),
    }


def told_by_us(metrics: dict[str, Metric], real: Tensor, fake: Tensor, extractor: Any) -> dict[str, float]:
    for metric in metrics.values():
        metric.begin(Announced(len(fake), suffix=extractor.suffix))
    for name, images in (("update_reference", real), ("update", fake)):
        feed = Feed(name, [getattr(metric, name) for metric in metrics.values()], extractor)
        for batch in images.split(16):
            feed.update(images=batch)
        feed.close()
    return dict(measured(metrics).figures)


class Pixels:
    """Features: the pixels. Logits: sums of some."""

    name, suffix, weights_sha256 = "pixels", "", ""

    def to(self, device: Any) -> Pixels:
        return self

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1).float() / 255

    def logits(self, features: Tensor) -> Tensor:
        return 20 * features.unflatten(1, (-1, 4)).mean(dim=2)


@pytest.mark.parametrize("n", [50, 301], ids=["fewer than features", "more"])
def test_the_same_features(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randint(0, 256, (2, n, 3, 8, 8), dtype=torch.uint8, generator=generator)
    fake = fake // 2 + 40
    found = told_by_us(ours(40), real, fake, Pixels())
    one, other = Pixels().features(fake), Pixels().features(real)
    expected = {
        **fid_statistics_to_metric(*map(fid_features_to_statistics, (one, other)), verbose=False),
        **isc_features_to_metric(Pixels().logits(one)),
        **kid_features_to_metric(one, other, kid_subset_size=40, verbose=False),
        **prc_features_to_metric(one, other, verbose=False),
    }
    assert found == {name: pytest.approx(expected[theirs], rel=1e-4) for name, theirs in NAMES.items()}


@pytest.mark.slow
def test_the_same_pictures_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights in the place of those that a machine without a network does not have."""
    weights = write_random_inception(tmp_path / inception.WEIGHTS_FILE)
    monkeypatch.setattr(inception, "WEIGHTS_SHA256", sha256_of(weights))
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randint(0, 256, (2, 48, 3, 32, 32), dtype=torch.uint8, generator=generator)
    fake = fake // 2 + 40
    found = told_by_us(ours(30), real, fake, Inception2015(weights))
    expected = calculate_metrics(
        input1=Stored(fake),
        input2=Stored(real),
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=30,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        cuda=False,
        save_cpu_ram=True,
        verbose=False,
        cache=False,
    )
    assert found == {name: pytest.approx(expected[theirs], rel=1e-4) for name, theirs in NAMES.items()}


class Stored(torch.utils.data.Dataset[Tensor]):
    """Pictures as torch-fidelity reads them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Tensor:
        return self.images[number]
