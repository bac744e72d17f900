from __future__ import annotations

import pytest

from ldmlab.cli.manual import PAGES
from ldmlab.configs import catalogue
from ldmlab.configs.schema import SCHEMAS

SECTIONS = {"trainer"}
"""Fields that hold the keys of a group."""


def test_every_command_has_a_schema() -> None:
    assert list(SCHEMAS) == list(PAGES)


@pytest.mark.parametrize("command", SCHEMAS)
def test_schema_has_the_keys_of_the_yaml(command: str) -> None:
    fields = {field.alias or name for name, field in SCHEMAS[command].model_fields.items()} - SECTIONS
    keys = catalogue.keys(command)
    if SCHEMAS[command].model_config["extra"] == "allow":  # a method's keys are checked by its constructor
        assert {key.name for key in keys if not key.where} <= fields <= {key.name for key in keys}
    else:
        assert fields == {key.name for key in keys}
