"""Configs as plain data. One from a file is a stranger's, so its size, its depth and its values are bounded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

MOST_CHARACTERS = 1 << 20
"""Of a config's JSON."""
MOST_DEPTH = 8
MOST_VALUES = 2000
LONGEST = 4096
"""Characters of a string."""
MOST = 10**9
"""Of a number, up or down."""


def read_json(text: str) -> Any:
    """A config's JSON as plain data, in bounded time and memory.

    Raises:
        ValueError: it is no JSON, has a key twice, or has more or other values than `require_plain` allows.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"has {len(text)} characters of JSON, and {MOST_CHARACTERS} are allowed")
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError(f"is nested more than {MOST_DEPTH} deep") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON ({error})") from error
    require_plain(data)
    return data


def require_plain(data: Any) -> None:
    """Refuse what is not made of dicts by name, lists, strings, numbers, booleans and None, as every config is.

    Raises:
        ValueError: another type, more values or levels than a config has, a string or a number that is out of bounds,
            or an interpolation `${...}`, which nothing here resolves.
    """
    values = 0
    waiting = [("", data, 0)]
    while waiting:
        where, node, depth = waiting.pop()
        if not isinstance(node, dict | list):
            _require_scalar(where, node)
            continue
        values += len(node)
        if values > MOST_VALUES:
            raise ValueError(f"{where}: holds more than {MOST_VALUES} values".removeprefix(": "))
        if depth == MOST_DEPTH:
            raise ValueError(f"{where}: is nested more than {MOST_DEPTH} deep")
        waiting += [(name, value, depth + 1) for name, value in _inside(where, node)]


def shown(value: Any) -> str:
    """A value for a message, in few words where it is large."""
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if not isinstance(value, str | int | float | None):
        return f"a {type(value).__name__}"
    if isinstance(value, int) and abs(value) > MOST:
        return f"{'-' * (value < 0)}{MOST} and more"
    text = str(value) if str(value).isprintable() else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _inside(where: str, node: dict[Any, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(node, list):
        yield from ((f"{where}[{number}]", value) for number, value in enumerate(node))
        return
    for key, value in node.items():
        if type(key) is not str or len(key) > 60 or "${" in key:
            raise ValueError(f"{where}: has the key {shown(key)}, which is no name".removeprefix(": "))
        yield f"{where}.{key}".removeprefix("."), value


def _require_scalar(where: str, value: Any) -> None:
    if value is None or type(value) is bool:
        return
    if type(value) is str:
        if "${" in value:
            raise ValueError(f"{where}={shown(value)}: is an interpolation, which a stored config may not hold")
        if len(value) > LONGEST:
            raise ValueError(f"{where}: has {len(value)} characters, and {LONGEST} are allowed")
    elif type(value) in (int, float):
        if not abs(value) <= MOST or not math.isfinite(value):
            raise ValueError(f"{where}={shown(value)}: is out of range")
    else:
        raise ValueError(f"{where}: is {shown(value)}, which is no plain data")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("has a key twice")
    return data
