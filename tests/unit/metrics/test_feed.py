"""Metrics get what the names of their parameters say, whatever the batches."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.metrics.base import Announced, Metric
from ldmlab.metrics.distribution.diversity import Diversity, diversity
from ldmlab.metrics.distribution.frechet import FrechetDistance, frechet_distance
from ldmlab.metrics.distribution.inception_score import InceptionScore
from ldmlab.metrics.feed import Feed
from ldmlab.metrics.measured import measured as found_by


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8, generator=generator)


def batches(images: Tensor) -> Iterator[Tensor]:
    yield from images.split(7)


def measured(
    extractor: Any, real: Any, fake: Any, announced: Announced, notes: list[str] | None = None
) -> dict[str, float]:
    metrics = {"frechet": FrechetDistance(), "inception": InceptionScore(), "diversity": Diversity()}
    reference = Feed("real", [metric.update_reference for metric in metrics.values()], extractor)
    generated = Feed("generated", [metric.update for metric in metrics.values()], extractor)
    for batch in real:
        reference.update(images=batch)
    reference.close()
    for metric in metrics.values():
        metric.begin(announced)
    for batch in fake:
        generated.update(images=batch)
    generated.close()
    found = found_by(metrics)
    if notes is not None:
        notes += found.notes
    return dict(found.figures)


def test_samples_get_labelled_figures(extractor: Any, images: Tensor) -> None:
    real, fake = images, images // 2
    before = torch.get_rng_state()
    found = measured(extractor, batches(real), batches(fake[:20]), Announced(20, suffix="-mean"))
    assert torch.equal(torch.get_rng_state(), before)
    assert list(found) == ["FID-mean", "IS-mean", "IS_std-mean", "diversity-mean"]
    expected = frechet_distance(extractor.features(real), extractor.features(fake[:20]))
    assert found["FID-mean"] == pytest.approx(expected, rel=1e-9)
    assert found["diversity-mean"] == pytest.approx(diversity(extractor.features(fake[:20])), rel=1e-9)
    assert all(isinstance(value, float) for value in found.values())


def test_batches_do_not_matter(extractor: Any, images: Tensor) -> None:
    announced = Announced(24, seed=1)
    one = measured(extractor, [images], [images // 2], announced)
    assert measured(extractor, batches(images), batches(images // 2), announced) == one


def test_repeated_captions_add_the_diversity_within_them(extractor: Any, images: Tensor) -> None:
    fake = images[:4].repeat_interleave(2, dim=0)

    def within(captions: str) -> dict[str, float]:
        return measured(extractor, [images], [fake], Announced(8, captions=list(captions)))

    assert within("aabbccdd")["diversity_within_caption"] == pytest.approx(0, abs=1e-12)
    assert within("abcdabcd")["diversity_within_caption"] > 1e-6
    assert "diversity_within_caption" not in within("abcdefgh")


def test_too_few_images_for_a_figure_are_told(extractor: Any, images: Tensor) -> None:
    notes: list[str] = []
    measured(extractor, [images], [images[:3]], Announced(3, suffix="-mean"), notes)
    assert notes == [
        "FID-mean: 3 images for 3 features, so the covariances have no full rank; compare it with figures of as many "
        "images alone",
        "IS-mean: 3 parts of 1 images for 3 classes, and it is never above 1; compare it with figures of as many "
        "images alone",
    ]
    notes.clear()
    measured(extractor, [images], [images], Announced(24, suffix="-mean"), notes)
    assert notes == [
        "IS-mean: 10 parts of 2.4 images for 3 classes, and it is never above 2.4; compare it with figures of as many "
        "images alone"
    ]


def test_pictures_are_not_kept(extractor: Any, images: Tensor) -> None:
    """Batches are taken one by one, and each is let go before the next is asked for."""
    alive: list[weakref.ref[Tensor]] = []

    def watched(source: Tensor) -> Iterator[Tensor]:
        for part in source.split(2):
            assert [ref for ref in alive[:-1] if ref() is not None] == []
            batch = part.clone()
            alive.append(weakref.ref(batch))
            yield batch

    streamed = measured(extractor, watched(images), watched(images // 2), Announced(24))
    assert streamed == measured(extractor, [images], [images // 2], Announced(24))


@pytest.mark.parametrize("at", [5, 12])
def test_features_that_are_not_finite_are_named(extractor: Any, images: Tensor, at: int) -> None:
    class Broken(type(extractor)):  # type: ignore[misc]
        def features(self, images: Tensor) -> Tensor:
            features = super().features(images)
            features[images[:, 0, 0, 0] == 255] = float("nan")
            return features

    images = images.clamp(max=254)
    images[at, 0, 0, 0] = 255
    with pytest.raises(ValueError, match=f"features of real image {at} hold NaN or infinite"):
        measured(Broken(), batches(images), batches(images), Announced(24))
    with pytest.raises(ValueError, match=f"features of generated image {at} hold NaN or infinite"):
        measured(Broken(), [images[:5]], batches(images), Announced(24))


def test_no_picture_is_refused(extractor: Any, images: Tensor) -> None:
    with pytest.raises(ValueError, match="no generated image was given"):
        measured(extractor, [images], [], Announced(24))


class Longest(Metric):
    """Of the captions, beside how bright their pictures are by the extractor's features."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("length", torch.tensor(0.0).double(), dist_reduce_fx="max")
        self.add_sum("brightness")

    def update(self, captions: list[str], features: Tensor, labels: list[int] | None = None) -> None:
        assert labels is None
        self.length = torch.maximum(self.length, torch.tensor(max(map(len, captions))).double())
        self.brightness = self.brightness + features.double().mean(dim=1).sum()

    def compute(self) -> Any:
        return {"longest": self.length, "brightness": self.brightness}


def test_a_metric_may_read_what_is_known_of_each_picture(extractor: Any, images: Tensor) -> None:
    metric = Longest()
    feed = Feed("generated", [metric.update], extractor)
    feed.require({"images", "captions"})
    for batch, captions in ((images[:2], ["a", "bcd"]), (images[2:4], ["ef", "g"])):
        feed.update(images=batch, captions=captions, meta=[{}, {}])
    feed.close()
    expected = extractor.features(images[:4]).double().mean(dim=1).sum()
    assert found_by({"own": metric}).figures == {"longest": 3, "brightness": pytest.approx(float(expected))}
    with pytest.raises(ValueError, match="metric: Longest reads 'captions', and of generated pictures there are"):
        feed.require({"images", "labels"})


def test_a_single_figure_has_the_name_of_its_metric() -> None:
    class Answer(Metric):
        def update(self, images: Tensor) -> None:
            """Nothing."""

        def compute(self) -> Mapping[str, Any] | Any:
            return torch.tensor(42)

    metric = Answer()
    metric.update(torch.zeros(1))
    assert found_by({"answer": metric}, "naive/").figures == {"naive/answer": 42}


def test_two_metrics_of_one_figure_are_refused() -> None:
    pair = {"one": Diversity(), "other": Diversity()}
    for each in pair.values():
        each.begin(Announced(3))
        each.update(torch.eye(3), range(3))
    with pytest.raises(ValueError, match="two of them give the figure 'diversity'"):
        found_by(pair)
