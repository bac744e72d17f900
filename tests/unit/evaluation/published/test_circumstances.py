"""What makes a measurement of ours no comparison with a published row."""

from __future__ import annotations

from typing import Any

import pytest

from ldmlab.evaluation.published.circumstances import circumstances, differences, label_of
from ldmlab.evaluation.published.rows import PublishedRow, published

ADM = "refs/VIRTUAL_imagenet256_labeled.npz"
LIKE_DIT = {
    "n": 50_000,
    "extractor": "inception-2015",
    "picture_size": [256, 256],
    "conditions": "drawn",
    "reference": ADM,
    "reference_kind": "npz",
    "reference_size": [256, 256],
    "n_reference": 10_000,
    "sampler": "DDPM",
    "steps": 250,
    "guidance_scale": 1.5,
    "guidance_config": {"_target_": "ldmlab.guidance.classifier_free.ClassifierFree", "guided_channels": 3},
}
FIGURES = {figure: figure for figure in ("FID", "sFID", "IS", "precision", "recall")}


@pytest.fixture
def dit() -> PublishedRow:
    """DiT-XL/2-G at 1.5."""
    return published("imagenet256").rows[-1]


def marks(row: PublishedRow, labels: dict[str, str] = FIGURES, **changed: Any) -> str:
    """Of what is measured as DiT was, but for something."""
    return "".join(topic.mark for topic in differences(circumstances({**LIKE_DIT, **changed}, labels), row))


def test_what_was_measured_as_published_differs_in_nothing(dit: PublishedRow) -> None:
    assert marks(dit) == ""


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"n": 10_000}, "N"),
        ({"picture_size": [64, 64]}, "P"),
        ({"picture_size": [256, 128]}, "P"),
        ({"conditions": "balanced"}, "B"),
        ({"conditions": "heldout"}, "B"),
        ({"resized_to": 256}, "Z"),
        ({"reference": "data/imagenet/heldout", "reference_kind": "shards", "n_reference": 50_000}, "ZR"),
        ({"reference": "photos", "reference_kind": "folder"}, "ZR"),
        ({"n_reference": 5_000}, "ZR"),
        ({"reference_size": [64, 64]}, "ZR"),
        ({"sampler": "DDIM"}, "s"),
        ({"steps": 50}, "t"),
        ({"guidance_scale": 1.25}, "w"),
        ({"guidance_scale": 1.0}, "g"),
        ({"guidance_config": {"_target_": "ldmlab.guidance.none.NoGuidance"}}, "g"),
        ({"guidance_config": {**LIKE_DIT["guidance_config"], "guided_channels": None}}, "c"),  # type: ignore[dict-item]
        ({"guidance_scale": 0.5, "guidance_config": {**LIKE_DIT["guidance_config"], "convention": "one_plus_w"}}, ""),  # type: ignore[dict-item]
    ],
)
def test_each_difference_has_its_mark(dit: PublishedRow, changed: dict[str, Any], wanted: str) -> None:
    assert marks(dit, **changed) == wanted


def test_figures_of_another_network_say_so_by_their_names(dit: PublishedRow) -> None:
    labels = {figure: f"{figure}-lite0" for figure in FIGURES}
    assert marks(dit, labels, extractor="efficientnet-lite0") == "E"
    assert marks(dit, labels) == "E"  # metrics with a network of their own, whatever the others read
    own = circumstances({**LIKE_DIT, "extractor": None}, {"FID": "FID-dinov2", "IS": "IS"})
    assert own["extractor"] == "dinov2 and inception-2015"


def test_of_what_nobody_tells_there_is_no_mark(dit: PublishedRow) -> None:
    told = {key: value for key, value in LIKE_DIT.items() if key not in ("sampler", "steps", "conditions")}
    assert differences(circumstances(told, FIGURES), dit) == []
    stylegan = published("imagenet256").rows[1]
    assert marks(stylegan, conditions="heldout", steps=3) == ""


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (["FID", "FID-lite0"], "FID"),
        (["sFID-lite0", "FID-lite0"], "FID-lite0"),
        (["FID_std", "rFID"], None),
    ],
)
def test_the_label_of_a_figure(labels: list[str], wanted: str | None) -> None:
    assert label_of("FID", labels) == wanted
