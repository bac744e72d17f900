"""CLIP score: torchmetrics' arithmetic on the same embeddings, and what is done with opposite ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.multimodal.clip_score import _clip_score_update

from ldmlab.metrics.base import Announced
from ldmlab.metrics.clip_score import CLIPScore
from ldmlab.metrics.feed import Feed

from ...colours import Colours

COUNT = 5
CAPTIONS = [f"caption {number}" for number in range(COUNT)]


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (COUNT, 3, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.fixture
def metric() -> CLIPScore:
    metric = CLIPScore()
    metric.begin(Announced(COUNT, suffix="-clip-c"))
    return metric


class Embedding:
    """What torchmetrics asks of a CLIP model and its processor."""

    config = SimpleNamespace()

    def to(self, device: Any) -> Embedding:
        return self

    def __call__(self, images: Any = None, text: Any = None, **_: Any) -> dict[str, Any]:
        pixels = Colours().features(torch.stack(images)) if images else None
        words = Colours().text_features(text) if text else torch.empty(0)
        return {"pixel_values": pixels, "input_ids": words, "attention_mask": words}

    def get_image_features(self, embeddings: Tensor) -> Tensor:
        return embeddings

    def get_text_features(self, embeddings: Tensor, _: Tensor) -> Tensor:
        return embeddings


def test_is_torchmetrics_score_of_the_same_embeddings(metric: CLIPScore, images: Tensor) -> None:
    feed = Feed("generated", [metric.update], Colours())
    for part in (slice(0, 2), slice(2, COUNT)):
        feed.update(images=images[part], captions=CAPTIONS[part])
    feed.close()
    network: Any = Embedding()
    wanted, _ = _clip_score_update(list(images), CAPTIONS, network, network)
    assert metric.compute() == {"CLIP_score-clip-c": pytest.approx(float(wanted.mean()), rel=1e-5)}
    assert metric.errors() == {"CLIP_score-clip-c": pytest.approx(float(wanted.std() / COUNT**0.5), rel=1e-4)}


def test_a_caption_that_says_the_opposite_counts_nothing(metric: CLIPScore) -> None:
    pictures = torch.tensor([[1.0, 0], [1, 0], [3, 4]])
    metric.update(pictures, torch.tensor([[-2.0, 0], [5, 0], [0, 7]]), [0, 1, 2])
    assert metric.compute()["CLIP_score-clip-c"] == pytest.approx((0 + 100 + 80) / 3)


@pytest.mark.parametrize("which", ["picture", "caption"])
def test_nan_is_named(metric: CLIPScore, which: str) -> None:
    broken, whole = torch.ones(2, 3), torch.ones(2, 3)
    broken[1, 0] = torch.nan
    given = (broken, whole) if which == "picture" else (whole, broken)
    with pytest.raises(ValueError, match=f"the features of {which} 8 hold NaN"):
        metric.update(*given, [7, 8])


def test_pictures_without_captions_and_networks_without_texts_are_refused(metric: CLIPScore, extractor: Any) -> None:
    with pytest.raises(ValueError, match="CLIPScore reads 'captions', and of generated pictures there are features"):
        Feed("generated", [metric.update], Colours()).require({"images"})
    with pytest.raises(ValueError, match="CLIPScore reads 'text_features', and of generated pictures by mean-colours"):
        Feed("generated", [metric.update], extractor).require({"images", "captions"})
