"""The keys that take urls of shards, whose braces are no mapping of Hydra's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ldmlab.configs.quoting import quoted

KEYS = ("data.urls", "data.heldout_urls")
_AS_IT_IS = re.compile(r"""null|\?\?\?|["'\[$].*|""", re.DOTALL)
"""A list, a text in quotes, a reference."""


def with_urls(overrides: Sequence[str]) -> list[str]:
    """Overrides in Hydra's grammar, where urls stand as they would in a browser or a shell."""
    return [_line(override) for override in overrides]


def _line(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or key.lstrip("+") not in KEYS or _AS_IT_IS.fullmatch(value):
        return override
    return f"{key}={quoted(value)}"
