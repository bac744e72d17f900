"""conf/trainer is Lightning's Trainer: each of its settings is there, with its types, or refused with a reason."""

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
SAMPLES = [None, True, 1, 0.5, "text", [0], ["a"], {"hours": 1}]


def test_each_setting_of_the_trainer_is_a_key_or_has_a_reason_not_to_be() -> None:
    parameters = {*inspect.signature(L.Trainer).parameters} - {"self"}
    refused = {path.removeprefix("trainer.") for path in SET_BY_LDMLAB}
    assert {*KEYS} | refused == parameters
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
