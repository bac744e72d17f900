"""What a component's constructor takes, for keys that its yaml does not show or of whose type it says too little."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ldmlab.configs.bounds import unbounded

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)
WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}
INSTANTIATE = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}
"""Keys of a section that are for Hydra's `instantiate`."""


def names(target: str) -> list[str] | None:
    """The parameters that a component has; None where it takes any, or cannot be looked at.

    Imports the component, and so what it needs.
    """
    found = _parameters(target)
    if found is None or any(each.kind is each.VAR_KEYWORD for each in found.values()):
        return None
    return list(found)


def annotation(target: str, name: str) -> Any:
    """What the signature of a component says of the type of a parameter; None where it says nothing."""
    parameter = (_parameters(target) or {}).get(name)
    if parameter is None or parameter.annotation is parameter.empty:
        return None
    try:
        TypeAdapter(parameter.annotation, config=STRICT)
    except Exception:  # no type that can be looked at
        return None
    return parameter.annotation


def _parameters(target: str) -> Mapping[str, inspect.Parameter] | None:
    try:
        with unbounded():
            component = resolve_name(target)
            try:
                return inspect.signature(component, eval_str=True).parameters
            except NameError:  # of a type that is imported for type checkers alone
                return inspect.signature(component).parameters
    except Exception:  # whatever goes wrong on importing a user's module is told when it is built
        return None


def fits(value: Any, wanted: Any) -> bool:
    """Whether a plain value is of an annotated type: a list does for a tuple or a sequence, no number for text."""
    try:
        TypeAdapter(wanted, config=STRICT).validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


def in_words(wanted: Any) -> str:
    """An annotated type as a user would write its values; types that no yaml can hold are left out."""
    words = dict.fromkeys(_each(wanted))
    if WORDS[float] in words:
        words.pop(WORDS[int], None)
    return " or ".join(words)


def _each(wanted: Any) -> list[str]:
    if wanted in WORDS:
        return [WORDS[wanted]]
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return [str(part) for part in parts]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return ["{KEY: VALUE}"]
    if origin is tuple and ... not in parts:
        return [f"a list of {len(parts)}"]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return ["a list, written [A,B]"]
    return [words for part in parts for words in _each(part)]
