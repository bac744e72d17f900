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
