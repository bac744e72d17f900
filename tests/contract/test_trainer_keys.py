"""conf/trainer is Lightning's Trainer: its keys are those of the signature, and what is refused is none of them."""

from __future__ import annotations

import inspect
from typing import Any

import lightning as L
import yaml

from ldmlab.configs.trainer_keys import SET_BY_LDMLAB
from ldmlab.paths import conf_dir

KEYS: dict[str, Any] = yaml.safe_load((conf_dir() / "trainer/default.yaml").read_text())
TARGET = KEYS.pop("_target_")


def test_each_key_is_a_setting_of_the_trainer_and_none_is_refused_as_well() -> None:
    parameters = {*inspect.signature(L.Trainer).parameters}
    refused = {path.removeprefix("trainer.") for path in SET_BY_LDMLAB}
    assert TARGET == "lightning.Trainer"
    assert {*KEYS} | refused <= parameters
    assert not {*KEYS} & refused
