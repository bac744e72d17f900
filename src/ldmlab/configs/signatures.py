"""What a component's constructor takes, for values whose type the yaml's default does not show."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
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


def annotation(target: str, name: str) -> Any:
    """What the signature of a component says of a parameter; None where it says nothing.

    Imports the component, and so what it needs.
    """
    from hydra.utils import get_object

    try:
        with unbounded():
            parameter = inspect.signature(get_object(target), eval_str=True).parameters[name]
        TypeAdapter(parameter.annotation, config=STRICT)
    except Exception:  # whatever goes wrong on importing a user's module is told when it is built
        return None
    return None if parameter.annotation is parameter.empty else parameter.annotation


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
