from __future__ import annotations

import pytest
from pydantic import BaseModel

from ldmlab.cli.command import find, names
from ldmlab.configs import catalogue

SECTIONS = {"trainer"}
"""Fields that hold the keys of a group."""


def dotted(model: type[BaseModel], prefix: str = "") -> set[str]:
    """The keys of a model, those of sections by their dotted names."""
    found = set()
    for name, field in model.model_fields.items():
        key, kind = f"{prefix}{field.alias or name}", field.annotation
        found |= dotted(kind, f"{key}.") if isinstance(kind, type) and issubclass(kind, BaseModel) else {key}
    return {key for key in found if key.partition(".")[0] not in SECTIONS}


@pytest.mark.parametrize("command", names())
def test_the_ranges_are_of_the_keys_of_the_yaml(command: str) -> None:
    model = find(command).keys
    fields, keys = dotted(model), catalogue.keys(command)
    if model.model_config["extra"] == "allow":  # a method's keys are checked by its constructor
        assert {key.name for key in keys if not key.where} <= fields <= {key.name for key in keys}
    else:
        assert fields == {key.name for key in keys}
