"""Values of Python as Hydra's overrides, which read them back as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
_WORDS_OF_ITS_OWN = {"null", "true", "false", "inf", "nan"}
_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def quoted(text: str) -> str:
    """Write any text as a Hydra value that is read back as the same text."""
    from hydra.core.override_parser.types import Quote, QuotedString

    without_references = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return QuotedString(without_references, Quote.double).with_quotes()


def override(key: str, value: Any) -> str:
    """Write `KEY=VALUE` for a value of Python.

    Args:
        key: a key, or a group with an option's name as the value.
        value: None, a bool, a number, text, a path, or a list or mapping of them.

    Raises:
        ValueError: it is something else.
    """
    return f"{key}={_written(key, value)}"


def _written(key: str, value: Any) -> str:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # numpy's and torch's numbers
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str | PathLike):
        return _text(fspath(value))
    if isinstance(value, Mapping):
        return _mapping(key, value)
    if isinstance(value, Sequence | set | frozenset) or hasattr(value, "tolist"):
        elements = value.tolist() if hasattr(value, "tolist") else value
        return f"[{','.join(_written(key, each) for each in elements)}]"
    raise ValueError(f"{key}: a {type(value).__name__} is no setting; give a number, text, a list or a mapping")


def _text(text: str) -> str:
    """The name of an option stands without quotes."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_ITS_OWN
    return text if is_plain else quoted(text)


def _mapping(key: str, value: Mapping[Any, Any]) -> str:
    """Words that Hydra's grammar has no key for stand in a list of "word: value", which such keys take as well."""
    if all(isinstance(name, str) and _KEY.fullmatch(name) for name in value):
        return "{" + ",".join(f"{name}: {_written(key, each)}" for name, each in value.items()) + "}"
    lines = (quoted(f"{json.dumps(str(name))}: {json.dumps(each)}") for name, each in value.items())
    return f"[{','.join(lines)}]"
