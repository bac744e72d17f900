"""What type a key takes: that of its default, and where this says too little, that of the constructor's signature."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ldmlab.configs.errors import UserError
from ldmlab.configs.signatures import annotation, fits, in_words

MISSING = "???"
ABSENT = object()
_KINDS: tuple[tuple[type, tuple[type, ...], str], ...] = (
    (bool, (bool,), "true or false"),
    (int, (int,), "a whole number"),
    (float, (float, int), "a number"),
    (object, (str,), """text (a number as text is written KEY='"2"')"""),
)


def check_types(
    keys: Mapping[str, Any],
    config: DictConfig,
    free: frozenset[str],
    known: Mapping[str, Any],
    vouched: Callable[[str], bool] = lambda path: False,
) -> None:
    """Refuse values of another type than their key takes.

    Args:
        keys: nested, each with its default.
        config: whole; has no key that is not among them but in sections of components.
        free: keys whose type is looked at elsewhere.
        known: types by key; what is of such a type is right, whatever else a component takes.
        vouched: of a key, whether its value is right where only a component, which has to be imported, could tell.

    Raises:
        UserError: naming the first such key; those for which a component has to be imported come last.
    """
    schema = cache(lambda: OmegaConf.create(dict(keys)))  # slow to make, and seldom needed
    given, unsure = OmegaConf.to_container(config, resolve=False), []
    for path, default in leaves(keys):
        written = _in(given, path)
        if isinstance(default, Mapping) or path in free or written is ABSENT or _same(written, default):
            continue
        default = _resolved(schema(), path) if "${" in str(default) else default
        value = _resolved(config, path)
        if value == MISSING or (path in known and fits(value, known[path])):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path}={value}: this key takes a finite number; null is none where a key may be null")
        wanted = mismatch(default, value)
        if target_of(config, path) is not None and (wanted is not None or not _vouches(default, value)):
            unsure += [] if vouched(path) else [(path, default, value, wanted)]
        else:
            _require(path, default, value, wanted)
    for path, default, value, wanted in unsure:
        _require(path, default, value, _by_signature(config, path, value, wanted))


def check_sections(keys: Mapping[str, Any], config: DictConfig) -> None:
    """Refuse a value in the place of a section."""
    for path in _sections(keys):
        section = OmegaConf.select(config, path)
        if section is not None and not isinstance(section, DictConfig):
            raise UserError(f"{path}={shown(section)}: this is a section; set its keys as {path}.KEY=VALUE")


def require_type(path: str, value: Any, wanted: Any) -> None:
    """Refuse a value that is not of an annotated type, where the yaml has no default for it."""
    if wanted is not None and not fits(value, wanted):
        words = in_words(wanted)
        _require(path, None, value, words or "another value")


def leaves(keys: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted paths of all values, with them; an empty section is one."""
    for name, value in keys.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def target_of(config: DictConfig, path: str) -> str | None:
    """The component whose signature has a key, if it is one's."""
    section, _, name = path.rpartition(".")
    if not section or name.startswith("_"):
        return None
    target = OmegaConf.select(config, f"{section}._target_", default=None)
    return None if target is None else str(target)


def shown(value: Any) -> str:
    """A value as it stands on a command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def mismatch(default: Any, value: Any) -> str | None:
    """What a key takes, judged by its default, where `value` is something else."""
    if default == MISSING or value == MISSING or isinstance(default, Mapping):
        return None
    if default is None:
        return "a single value or a list" if isinstance(value, Mapping) else None
    if isinstance(default, list):
        return _list_mismatch(default, value)
    kind, accepted, wanted = next(rule for rule in _KINDS if isinstance(default, rule[0]))
    fitting = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    return None if fitting else wanted


def _list_mismatch(default: list[Any], value: Any) -> str | None:
    """The elements of a list whose defaults are all of one kind are of that kind."""
    if not isinstance(value, list):
        return "a list, written [A,B]"
    same_kind = len({type(element) for element in default}) == 1
    wrong = (mismatch(default[0], element) for element in value) if same_kind else iter(())
    return next((f"a list of which each is {wanted}" for wanted in wrong if wanted is not None), None)


def _vouches(default: Any, value: Any) -> bool:
    """Whether a default says enough of a value that is of its kind: not `null` or ???, nor a list of another length."""
    if isinstance(default, list) and isinstance(value, list):
        return len(default) == len(value)
    return default not in (None, MISSING) or value is None


def _by_signature(config: DictConfig, path: str, value: Any, otherwise: str | None) -> str | None:
    """What the signature takes where `value` is something else; `otherwise` where it says nothing."""
    wanted = annotation(str(target_of(config, path)), path.rpartition(".")[2])
    if wanted is None:
        return otherwise
    if fits(value, wanted):
        return None
    words = in_words(wanted) or otherwise or "another value"
    return otherwise if otherwise is not None and otherwise.startswith(words.partition(",")[0]) else words


def _require(path: str, default: Any, value: Any, wanted: str | None) -> None:
    if wanted is not None:
        beside = "" if default in (None, MISSING) else f", as its default {shown(default)}"
        raise UserError(f"{path}={shown(value)}: this key takes {wanted}{beside}")


def _sections(keys: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in keys.items():
        if isinstance(value, Mapping):
            yield f"{prefix}{name}"
            yield from _sections(value, f"{prefix}{name}.")


def _same(written: Any, default: Any) -> bool:
    """Whether a value is the default, and so is right."""
    return type(written) is type(default) and written == default and written != MISSING


def _in(given: Any, path: str) -> Any:
    """What stands at a dotted path, as it is written; `ABSENT` where nothing does."""
    for part in path.split("."):
        if not isinstance(given, Mapping) or part not in given:
            return ABSENT
        given = given[part]
    return given


def _resolved(config: DictConfig, path: str) -> Any:
    """A value with its references filled in; `MISSING` where they lead nowhere yet."""
    try:
        value = OmegaConf.select(config, path, throw_on_missing=True)
    except OmegaConfBaseException:
        return MISSING
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
