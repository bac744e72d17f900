"""The protocols' names, counts and refusals, on an extractor whose figures are known."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.metrics.distribution import diversity, frechet_distance
from ldmlab.metrics.protocol import evaluate_reconstructions, evaluate_samples, reference_statistics
from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import random_scene


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8, generator=generator)


def _batches(images: Tensor) -> Iterator[Tensor]:
    yield from images.split(7)


def test_samples_get_labelled_figures(extractor: Any, images: Tensor) -> None:
    real, fake = images, images // 2
    before = torch.get_rng_state()
    figures = evaluate_samples(_batches(real), _batches(fake[:20]), extractor)
    assert torch.equal(torch.get_rng_state(), before)
    assert set(figures) == {"FID-mean", "IS-mean", "IS_std-mean", "diversity", "n_real", "n_fake"}
    assert figures["FID-mean"] == frechet_distance(extractor.features(real), extractor.features(fake[:20]))
    assert figures["diversity"] == diversity(extractor.features(fake[:20]))
    assert (figures["n_real"], figures["n_fake"]) == (24, 20)
    assert all(isinstance(value, float) for value in figures.values())


def test_batches_do_not_matter(extractor: Any, images: Tensor) -> None:
    one = evaluate_samples([images], [images // 2], extractor, seed=1)
    assert evaluate_samples(_batches(images), _batches(images // 2), extractor, seed=1) == one


def test_repeated_captions_add_the_diversity_within_them(extractor: Any, images: Tensor) -> None:
    fake = images[:4].repeat_interleave(2, dim=0)
    alike = evaluate_samples([images], [fake], extractor, captions=list("aabbccdd"))
    mixed = evaluate_samples([images], [fake], extractor, captions=list("abcdabcd"))
    assert alike["diversity_within_caption"] == pytest.approx(0, abs=1e-12)
    assert mixed["diversity_within_caption"] > 1e-6
    assert "diversity_within_caption" not in evaluate_samples([images], [fake], extractor, captions=list("abcdefgh"))


def test_drawn_scenes_add_the_verifiers_accuracy(extractor: Any) -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(8)]
    drawn = torch.from_numpy(np.stack([render(scene, 64) for scene in scenes])).permute(0, 3, 1, 2)
    asked = [caption(scene, rng)[1] for scene in scenes]
    right = evaluate_samples([drawn], _batches(drawn), extractor, asked=asked)
    wrong = evaluate_samples([drawn], _batches(drawn), extractor, asked=asked[1:] + asked[:1])
    assert right["accuracy/caption"] == 1
    assert right["asked/caption"] == right["asked/count"] == 8
    assert wrong["accuracy/caption"] < 0.5


@pytest.mark.parametrize("n", [7, 9])
def test_lists_of_another_length_are_refused(extractor: Any, images: Tensor, n: int) -> None:
    with pytest.raises(ValueError, match=rf"captions has {n} entries for 8 generated images"):
        evaluate_samples([images], [images[:8]], extractor, captions=["a"] * n)


def test_one_sample_is_refused(extractor: Any, images: Tensor) -> None:
    with pytest.raises(ValueError, match="N >= 2"):
        evaluate_samples([images], [images[:1]], extractor)
    with pytest.raises(ValueError, match="generated images: none was given"):
        evaluate_samples([images], [], extractor)


def test_reconstructions_get_labelled_figures(extractor: Any, images: Tensor) -> None:
    off_by_five = images.clamp(max=250) + 5
    originals = images.clamp(max=250)
    pairs = zip(_batches(originals), _batches(off_by_five), strict=True)
    figures = evaluate_reconstructions(pairs, extractor)
    assert set(figures) == {"PSNR", "SSIM", "rFID-mean", "n"}
    assert figures["PSNR"] == pytest.approx(20 * math.log10(255 / 5))
    assert figures["rFID-mean"] == pytest.approx(3 * (5 / 255) ** 2, rel=1e-4)
    assert 0.99 < figures["SSIM"] < 1
    assert figures["n"] == 24


def test_exact_reconstructions_are_counted_apart(extractor: Any, images: Tensor) -> None:
    """Blank pictures come back to the bit, and must not make the mean infinite."""
    originals = images.clamp(max=250)
    reconstructions = originals + 5
    reconstructions[3:5] = originals[3:5]
    figures = evaluate_reconstructions([(originals, reconstructions)], extractor)
    assert figures["PSNR"] == pytest.approx(20 * math.log10(255 / 5))
    assert figures["exact"] == 2
    figures = evaluate_reconstructions([(originals, originals)], extractor)
    assert math.isinf(figures["PSNR"])
    assert figures["exact"] == 24


def test_too_few_images_for_a_figure_are_told(extractor: Any, images: Tensor) -> None:
    notes: list[str] = []
    evaluate_samples([images], [images[:3]], extractor, tell=notes.append)
    assert notes == [
        "FID-mean: 3 images for 3 features, so the covariances have no full rank; compare it with figures of as many "
        "images alone"
    ]
    notes.clear()
    evaluate_samples([images], [images], extractor, tell=notes.append)
    assert notes == [
        "IS-mean: 10 parts of 2 images for 3 classes, and it is never above 2; compare it with figures of as many "
        "images alone"
    ]
    evaluate_reconstructions([(images[:2], images[:2])], extractor, notes.append)
    assert notes[-1].startswith("rFID-mean: 2 images for 3 features")


def test_reference_images_are_not_kept(extractor: Any, images: Tensor) -> None:
    """Batches are taken one by one, and each is let go before the next is asked for."""
    alive: list[weakref.ref[Tensor]] = []

    def batches(source: Tensor) -> Iterator[Tensor]:
        for part in source.split(2):
            assert [ref for ref in alive[:-1] if ref() is not None] == []
            batch = part.clone()
            alive.append(weakref.ref(batch))
            yield batch

    reference = reference_statistics(batches(images), extractor)
    streamed = evaluate_samples(reference, batches(images // 2), extractor, n=len(images))
    assert streamed == evaluate_samples([images], [images // 2], extractor)


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
        evaluate_samples(_batches(images), _batches(images), Broken())
    with pytest.raises(ValueError, match=f"features of generated image {at} hold NaN or infinite"):
        evaluate_samples([images[:5]], _batches(images), Broken())
