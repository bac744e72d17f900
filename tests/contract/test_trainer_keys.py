"""conf/trainer is Lightning's Trainer: its keys have the types of the signature, and what is refused has a reason."""

from __future__ import annotations

import inspect
from typing import Any

import lightning as L
import pytest
import yaml

from ldmlab.configs.signatures import annotation, fits
from ldmlab.configs.trainer_keys import SET_BY_LDMLAB, TRAINER_TYPES
from ldmlab.paths import conf_dir

KEYS: dict[str, Any] = yaml.safe_load((conf_dir() / "trainer/default.yaml").read_text())
TARGET = KEYS.pop("_target_")
SAMPLES = [None, True, 1, 0.5, "text", [0], ["a"], {"hours": 1}]


def test_each_key_is_a_setting_of_the_trainer_and_none_is_refused_as_well() -> None:
    parameters = {*inspect.signature(L.Trainer).parameters}
    refused = {path.removeprefix("trainer.") for path in SET_BY_LDMLAB}
    assert TARGET == "lightning.Trainer"
    assert {*KEYS} | refused <= parameters
    assert not {*KEYS} & refused


@pytest.mark.parametrize("key", KEYS)
def test_types_are_those_of_the_signature(key: str) -> None:
    wanted = annotation("lightning.Trainer", key)
    if key == "precision":  # the names are checked when training begins
        wanted = wanted | str
    if key in TRAINER_TYPES:
        assert [fits(value, wanted) for value in SAMPLES] == [fits(value, TRAINER_TYPES[key]) for value in SAMPLES]
    else:  # its default shows all that it takes
        kind = type(KEYS[key])
        assert [fits(value, wanted) for value in SAMPLES] == [fits(value, kind) for value in SAMPLES]
