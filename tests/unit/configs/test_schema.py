from __future__ import annotations

import pytest
from pydantic import BaseModel

from ldmlab.cli.manual import PAGES
from ldmlab.configs import catalogue
from ldmlab.configs.schema import SCHEMAS

SECTIONS = {"trainer"}
"""Fields that hold the keys of a group."""


def test_every_command_has_a_schema() -> None:
    assert list(SCHEMAS) == list(PAGES)


def names(schema: type[BaseModel], prefix: str = "") -> set[str]:
    """The keys of a schema, those of sections by their dotted names."""
    found = set()
    for name, field in schema.model_fields.items():
        key, kind = f"{prefix}{field.alias or name}", field.annotation
        found |= names(kind, f"{key}.") if isinstance(kind, type) and issubclass(kind, BaseModel) else {key}
    return {key for key in found if key.partition(".")[0] not in SECTIONS}


@pytest.mark.parametrize("command", SCHEMAS)
def test_schema_has_the_keys_of_the_yaml(command: str) -> None:
    fields, keys = names(SCHEMAS[command]), catalogue.keys(command)
    if SCHEMAS[command].model_config["extra"] == "allow":  # a method's keys are checked by its constructor
        assert {key.name for key in keys if not key.where} <= fields <= {key.name for key in keys}
    else:
        assert fields == {key.name for key in keys}
