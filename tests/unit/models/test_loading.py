"""A checkpoint's config is a stranger's: it builds models of ldmlab and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.none import NoCondition
from ldmlab.models.build import build_backbone
from ldmlab.models.checkpoints import export_weights
from ldmlab.models.component import build_component
from ldmlab.models.loading import load_autoencoder, load_model

KL = {"_target_": "ldmlab.autoencoders.kl.AutoencoderKL", "channels": 8, "multipliers": [1], "norm_groups": 4}


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[Any], str]:
    """config -> a file that holds it."""

    def write(config: Any) -> str:
        path = tmp_path / "a.safetensors"
        export_weights(path, {"a": torch.ones(1)}, config, ema=False)
        return str(path)

    return write


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "pathlib.Path.touch",
        "ldmlab.cli.launch.os.system",
        "ldmlab.atomic.os.mkdir",
        "ldmlab.autoencoders.perceptual.Path.touch",
        "ldmlab.models.checkpoints.torch.load",
        "ldmlab.cli.main.main",
        "ldmlab..os.system",
        "ldmlab.autoencoders.kl.torch",
        "ldmlab.autoencoders.nowhere.Thing",
        "ldmlab.autoencoders.kl",
        "ldmlabel.autoencoders.kl.AutoencoderKL",
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_foreign_target_is_refused_and_not_called(
    target: str, nested: bool, stored: Callable[[Any], str], tmp_path: Path
) -> None:
    bad = {"_target_": target, "_args_": [str(tmp_path / "touched")]}
    config = {"model": "autoencoder", "autoencoder": {**KL, "channels": [bad]} if nested else bad, "image_size": 16}
    told = "autoencoder.channels=a list of 1: should be" if nested else "refused, because its config would build"
    for load in (load_model, load_autoencoder):
        with pytest.raises(ValueError, match=told):
            load(stored(config))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "config",
    [
        [],
        "autoencoder",
        {},
        {"model": "autoencoder"},
        {"model": "latent_diffusion", "autoencoder": KL, "image_size": 16},
    ],
    ids=json.dumps,
)
def test_a_config_that_lacks_parts_is_refused(config: Any, stored: Callable[[Any], str]) -> None:
    with pytest.raises(ValueError, match="its config names no model"):
        load_model(stored(config))


def test_our_own_targets_pass(stored: Callable[[Any], str]) -> None:
    with pytest.raises(ValueError, match="of another architecture"):  # built, and then the weights do not fit
        load_model(stored({"model": "autoencoder", "autoencoder": KL, "image_size": 16}))


class Beside(NoCondition):
    """Gives three channels."""

    concat_channels = 3


def test_channels_beside_the_latents_follow_from_the_conditioner() -> None:
    config = {"_target_": "ldmlab.backbones.dit.DiT", "width": 32, "depth": 1, "heads": 2}
    for asked in ({}, {"concat_channels": 0}, {"concat_channels": 3}):
        assert build_backbone({**config, **asked}, 4, 8, Beside()).concat_channels == 3
    assert build_backbone({**config, "concat_channels": 2}, 4, 8, NoCondition()).concat_channels == 2
    with pytest.raises(ValueError, match=r"backbone.concat_channels=2: the conditioner gives 3; leave it at 0"):
        build_backbone({**config, "concat_channels": 2}, 4, 8, Beside())


def test_a_number_may_be_a_whole_one_below_0_where_a_size_may_not() -> None:
    """As `autoencoder.initial_log_variance=-8` on a command line is."""
    build_component({**KL, "initial_log_variance": -8}, Autoencoder, "autoencoder")
    with pytest.raises(ValueError, match=r"autoencoder\.residual_blocks=-1: no size of a model is below 0"):
        build_component({**KL, "residual_blocks": -1}, Autoencoder, "autoencoder")
