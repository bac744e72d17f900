"""Every editing method: its yaml has the keys that its constructor takes, with the same defaults."""

from __future__ import annotations

import inspect

import pytest
import yaml
from hydra.utils import get_object

from ldmlab.configs import catalogue
from ldmlab.editing.methods.base import EditMethod
from ldmlab.paths import conf_dir

GROUPS = {"inversion"}
"""Parameters that are components, each from the config group of that name."""


@pytest.mark.parametrize("name", catalogue.options("method"))
def test_keys_are_the_constructors(name: str) -> None:
    config = yaml.safe_load((conf_dir() / f"method/{name}.yaml").read_text())
    target = get_object(config.pop("_target_"))
    assert issubclass(target, EditMethod)
    config.pop("defaults", None)
    parameters = {key: value for key, value in inspect.signature(target).parameters.items() if key not in GROUPS}
    assert config.keys() == parameters.keys()
    for key, parameter in parameters.items():
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        assert default in (config[key], inspect.Parameter.empty), key


OTHERS = {
    "uncrop": "makes a larger picture",
    "image_to_image": "edits with models that were trained for one task",
}
"""Methods that PIE-Bench does not measure unless they are asked for, and why."""


def test_all_that_edit_a_given_picture_by_a_prompt_are_measured() -> None:
    entries = yaml.safe_load((conf_dir() / "pie_bench.yaml").read_text())["methods"]
    inversions = {f"prompt_to_prompt inversion={name}" for name in catalogue.options("inversion")}
    editing = set()
    for name in catalogue.options("method"):
        target = get_object(yaml.safe_load((conf_dir() / f"method/{name}.yaml").read_text())["_target_"])
        if {"image", "target"} <= target.needs | target.takes:
            editing.add(name)
    assert {entry for entry in entries if " " in entry} == inversions
    assert {entry.partition(" ")[0] for entry in entries} == editing - OTHERS.keys()
