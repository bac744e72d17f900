"""The group `filter`, whose option may be given as an expression, and what it builds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ldmlab.configs.errors import UserError
from ldmlab.configs.quoting import quoted

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ldmlab.data.filters.filter import Filter

GROUP, WHERE = "filter", "filter.where"
TARGET = "ldmlab.data.filters.filter.Filter"
_OPTION = re.compile(r"""["']?[\w./-]+["']?(,[\w./,-]*)?|[\[{$].*""", re.DOTALL)
"""The name of an option, several of a sweep, or what Hydra is to refuse."""
_TEXT = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_QUOTED = re.compile(rf"{_TEXT}(?:\s*,\s*{_TEXT})*", re.DOTALL)


def with_expressions(overrides: Sequence[str]) -> list[str]:
    """Overrides in Hydra's grammar: `filter=EXPRESSION` as the option that takes one, and the expression as its key.

    One in quotes is taken as Hydra reads it, so a sweep may have several: `filter='"aesthetic > 5","aesthetic > 6"'`.
    Of several choices the last one counts.
    """
    last = max((place for place, line in enumerate(overrides) if line.startswith(f"{GROUP}=")), default=0)
    chosen = [line for place, line in enumerate(overrides) if place >= last or not line.startswith(f"{GROUP}=")]
    return [line for override in chosen for line in _lines(override)]


def _lines(override: str) -> list[str]:
    key, _, value = override.partition("=")
    if key not in (GROUP, WHERE) or _OPTION.fullmatch(value.strip()):
        return [override]
    choice = [f"{GROUP}=where"] if key == GROUP else []
    return [*choice, f"{WHERE}={value if _QUOTED.fullmatch(value.strip()) else quoted(value)}"]


def require_filter(config: DictConfig) -> None:
    """Refuse an expression that is none, and keys of a filter where none is chosen, before anything is built.

    Raises:
        UserError: naming it.
    """
    section = config.get(GROUP) or {}
    if section and "_target_" not in section:
        key = next(iter(section))
        raise UserError(
            f"{GROUP}.{key}={section[key]}: nothing would read it: no filter is chosen; choose one by {GROUP}=sd1 or "
            f"{GROUP}=EXPRESSION"
        )
    if section and section["_target_"] == TARGET:
        build_filter(config)


def build_filter(config: Mapping[str, Any]) -> Filter | None:
    """The filter of a config's `filter` group; None where it takes all samples.

    Raises:
        UserError: a key of it is no good.
    """
    from hydra.utils import instantiate

    from ldmlab.configs.errors import as_user_error

    section = config.get(GROUP)
    with as_user_error():
        return instantiate(section) if section else None
