"""Checkpoints name classes by their modules, so the names that any version of ldmlab has written resolve for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from torch import nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.diffusion.objectives import Objective
from ldmlab.diffusion.parameterizations import Parameterization
from ldmlab.diffusion.schedules import NoiseSchedule
from ldmlab.models.component import _resolve
from ldmlab.paths import conf_dir

KINDS: dict[str, type] = {
    "autoencoder": Autoencoder,
    "backbone": nn.Module,
    "conditioner": Conditioner,
    "schedule": NoiseSchedule,
    "parameterization": Parameterization,
    "objective": Objective,
}
"""The groups whose options a checkpoint's config holds, and what each makes."""

STORED = {
    "autoencoder": {
        "autoencoders.kl.AutoencoderKL",
        "autoencoders.kl_by_size.kl_by_size",
        "autoencoders.vq.AutoencoderVQ",
    },
    "backbone": {"backbones.dit.DiT", "backbones.unet.UNet"},
    "conditioner": {
        "conditioners.class_label.ClassLabel",
        "conditioners.clip.CLIPText",
        "conditioners.clip.FrozenCLIP",
        "conditioners.colorization.Colorization",
        "conditioners.inpainting.Inpainting",
        "conditioners.none.NoCondition",
        "conditioners.super_resolution.SuperResolution",
        "conditioners.text.TextTransformer",
    },
    "schedule": {f"diffusion.schedules.{name}" for name in ("cosine", "linear", "rectified_flow", "scaled_linear")},
    "parameterization": {
        f"diffusion.parameterizations.{name}"
        for name in ("CleanLatents", "Epsilon", "FlowVelocity", "PosteriorMean", "Velocity")
    },
    "objective": {f"diffusion.objectives.{name}" for name in ("Hybrid", "MinSNR", "Simple")},
}
"""Never take one away: a class that moves leaves its old name to an alias."""


def named_in_conf(group: str) -> Iterator[str]:
    """What the options of a group name, those of a stored config's sections."""
    for path in (conf_dir() / group).glob("*.yaml"):
        if target := yaml.safe_load(path.read_text()).get("_target_"):
            yield target.removeprefix("ldmlab.")


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in STORED for name in sorted(STORED[group])])
def test_a_stored_name_makes_what_it_did(group: str, name: str) -> None:
    assert callable(_resolve(f"ldmlab.{name}", KINDS[group], group))


@pytest.mark.parametrize("group", KINDS)
def test_every_name_that_is_written_is_listed(group: str) -> None:
    written = set(named_in_conf(group))
    assert written
    assert written <= STORED[group]
