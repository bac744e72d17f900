"""Protocols: settings as papers have them, over which a user's own count."""

from __future__ import annotations

import logging

import pytest

from ldmlab.configs.calls import configured
from ldmlab.configs.commands.evaluate import CHECKS
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError

INCEPTION = "extractor.weights=inception.pth"


def test_imagenet_as_published() -> None:
    config = validate("evaluate", ["protocol=imagenet256", INCEPTION], complete=False, checks=CHECKS)
    assert (config.n, config.conditions, config.table) == (50_000, "drawn", "imagenet256")
    assert set(config.metric) == {"frechet_distance", "spatial_frechet_distance", "inception_score", "precision_recall"}
    assert config.extractor._target_.endswith("Inception2015")
    assert (config.sampler.steps, config.guidance.scale, config.guidance.guided_channels) == (250, 1.5, 3)


def test_coco_and_laion_draw_their_captions_by_a_seed() -> None:
    coco = validate("evaluate", ["protocol=coco30k", INCEPTION], complete=False, checks=CHECKS)
    assert (coco.n, coco.data.subset, coco.data.subset_seed, coco.sampler.steps) == (30_000, "drawn", 0, 250)
    assert (coco.guidance.scale, coco.table) == (1.5, "coco256")
    laion = validate("evaluate", ["protocol=laion", "data.subset_seed=3"], checks=CHECKS)
    assert (laion.data.subset, laion.data.subset_seed) == ("shards", 3)


def test_keys_of_a_user_count_more(caplog: pytest.LogCaptureFixture) -> None:
    given = ["n=64", "conditions=balanced", "sampler.steps=4", "guidance.scale=1.25", "guidance.guided_channels=null"]
    options = ["extractor=efficientnet_lite0", "metric=psnr", "sampler=ddim"]
    with caplog.at_level(logging.WARNING):
        config = validate("evaluate", ["protocol=imagenet256", *given, *options], checks=CHECKS)
    assert (config.n, config.conditions, config.sampler.steps) == (64, "balanced", 4)
    assert (config.guidance.scale, config.guidance.guided_channels) == (1.25, None)
    assert (list(config.metric), config.extractor._target_.rpartition(".")[2]) == (["psnr"], "EfficientNetLite0")
    told = "sampler.variance: set by an experiment or protocol for options that are not chosen"
    assert caplog.messages == [told]


def test_without_guidance_what_is_said_of_it_falls_away() -> None:
    lines = ["protocol=imagenet256", "guidance=none", "extractor=efficientnet_lite0"]
    assert list(validate("evaluate", lines, checks=CHECKS).guidance) == ["_target_"]


def test_a_misspelled_key_is_refused_beside_a_protocol() -> None:
    with pytest.raises(UserError, match=r"unknown key 'guidance\.scael'; did you mean 'guidance\.scale'"):
        validate("evaluate", ["protocol=laion", "guidance.scael=1"], checks=CHECKS)


def test_a_protocol_that_there_is_not() -> None:
    with pytest.raises(UserError, match="group 'protocol' has no option 'imagenet'; did you mean 'imagenet256'"):
        validate("evaluate", ["protocol=imagenet"])


def test_python_knows_the_protocol_by_its_name() -> None:
    assert configured("evaluate", {"protocol": "laion"}).protocol == "laion"
    assert configured("evaluate", {}).protocol == "heldout"
    assert "protocol" not in configured("sample", {})


def test_a_table_that_there_is_not() -> None:
    told = "table=imagenet: no such table of published rows; choose one of auto, coco256, imagenet256"
    with pytest.raises(UserError, match=told):
        validate("evaluate", ["table=imagenet"], checks=CHECKS)
    assert validate("evaluate", ["table=null"], checks=CHECKS).table is None
