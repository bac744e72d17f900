"""Refuses a composed config whose keys or types are not those of the yaml. Imports nothing heavy.

The yaml is the schema. A key exists if and only if the yaml of the command or of a chosen option has it; its default
says its type. Where a component takes other types as well, or its default is `null`, the constructor's signature says
which: only then is it imported. A command's own `null` takes any scalar or list, and an empty mapping `{}` any keys.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from ldmlab.configs.bounds import bounded
from ldmlab.configs.checks import Checks
from ldmlab.configs.compose import Composer, as_job, hydra_at_conf, parse_overrides
from ldmlab.configs.errors import UserError
from ldmlab.configs.hints import instead_of_key
from ldmlab.configs.keys import CHOICES, takes_mapping
from ldmlab.configs.signatures import annotation, fits, in_words
from ldmlab.configs.trainer_keys import TRAINER_TYPES
from ldmlab.configs.unread import check_choices
from ldmlab.configs.user_files import check_files

log = logging.getLogger(__name__)

MISSING = "???"
NO_CHECKS = Checks()


def validate(
    command: str,
    overrides: Sequence[str],
    complete: bool = True,
    number: int | None = None,
    checks: Checks = NO_CHECKS,
) -> DictConfig:
    """Compose a command's config and check it.

    Args:
        command: the name of a yaml in conf/.
        overrides: Hydra's, without sweeps.
        complete: also refuse values that are missing or out of range; not wanted where a config is only shown.
        number: of the job in a sweep; None for a single run.
        checks: what the command asks beyond its yaml.

    Returns:
        The config, with Hydra's own node, in which the folder of the run is `hydra.runtime.output_dir`.

    Raises:
        UserError: the first thing that is wrong.
    """
    with bounded(), hydra_at_conf(command):
        composer = Composer(command, overrides)
        whole, schema = _composed(composer) or _composed_with_care(composer, tell=number is None)
        with as_job(whole, number):
            _check_types(checks, schema, whole)
            if complete:
                _check_values(checks, whole)
                check_choices(checks.rules, (o.key_or_group for o in (*composer.choices, *composer.values)), whole)
    return whole


def _composed(composer: Composer) -> tuple[DictConfig, DictConfig] | None:
    """The whole config and its schema, where the one has no key that the other lacks; composing takes a while."""
    try:
        whole = composer.whole()
        schema = composer.schema(whole)
    except UserError:
        return None
    return None if any(_extra(_plain(schema), _plain(whole))) else (whole, schema)


def _composed_with_care(composer: Composer, tell: bool) -> tuple[DictConfig, DictConfig]:
    """The same, without the keys of an experiment that fall away; UserError names the first key that is wrong."""
    command = composer.command
    chosen = composer.chosen()
    schema = composer.schema(chosen)
    keys = _plain(schema)
    fallen = _fallen(composer, keys, _plain(chosen))
    _drop(chosen, fallen)
    _check_keys(command, keys, _plain(chosen), "the experiment")
    for override in composer.values:
        _check_override_key(command, keys, override.key_or_group)
    whole = composer.whole()
    _drop(whole, fallen)
    if fallen and tell:
        _tell_fallen(fallen)
    _check_keys(command, keys, _plain(whole), "the command line")
    return whole, schema


def validate_sweep(
    command: str, overrides: Sequence[str], complete: bool = True, checks: Checks = NO_CHECKS
) -> DictConfig:
    """Check every job of a sweep before the first one starts; as `validate`, with the config of the first."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    with bounded(), hydra_at_conf(command):
        parsed = parse_overrides(overrides)
        own = any(
            o.key_or_group == "hydra/sweeper" or (o.is_hydra_override() and o.is_sweep_override()) for o in parsed
        )
        jobs = [] if own else BasicSweeper.split_arguments(parsed, None)[0]
    if own:  # such a sweep has its own idea of the jobs; each is checked when it starts
        single = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
        return validate(command, single, complete=False, number=0, checks=checks)
    configs = [validate(command, job, complete, number, checks) for number, job in enumerate(jobs)]
    return configs[0]


def _plain(config: DictConfig) -> dict[str, Any]:
    """Nested dicts and lists with references left as they are, without Hydra's own node."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def _check_override_key(command: str, keys: Mapping[str, Any], path: str) -> None:
    node: Any = keys
    for part in path.split("."):
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif not (isinstance(node, Mapping) and not node):
            raise UserError(f"unknown key '{path}'{instead_of_key(command, path, _paths(keys))}")
        else:
            return


def _check_keys(command: str, keys: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    for path in _extra(keys, given):
        raise UserError(f"unknown key '{path}' (in {where}){instead_of_key(command, path, _paths(keys))}")


def _fallen(composer: Composer, keys: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    """The paths that an experiment sets for an option in whose place the user chose one that has no such keys."""
    extra = list(_extra(keys, chosen))
    if not extra:
        return []
    meant = _plain(composer.unreplaced())
    unknown = set(_extra(meant, chosen))
    return [path for path in extra if path not in unknown]


def drop_fallen(config: DictConfig, checked: DictConfig) -> None:
    """Take out of a config that Hydra composed what fell away from the same config when it was checked."""
    fallen = list(_extra(_plain(checked), _plain(config)))
    _drop(config, fallen)
    if fallen:
        _tell_fallen(fallen)


def _drop(config: DictConfig, paths: Iterable[str]) -> None:
    """Take keys out of a config."""
    with read_write(config), open_dict(config):
        for path in paths:
            section, _, name = path.rpartition(".")
            del (OmegaConf.select(config, section) if section else config)[name]


def _tell_fallen(paths: Sequence[str]) -> None:
    """Say which of an experiment's keys do not count."""
    log.warning("of the experiment's keys, those of options that are replaced fall away: %s", ", ".join(paths))


def _extra(keys: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths that exist in `given` alone."""
    for name, value in given.items():
        path = f"{prefix}{name}"
        if name not in keys:
            yield path
        elif isinstance(keys[name], Mapping) and keys[name] and isinstance(value, Mapping):
            yield from _extra(keys[name], value, f"{path}.")


def _paths(keys: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted paths of all values."""
    found = []
    for name, value in keys.items():
        inner = _paths(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else [f"{prefix}{name}"]
        found.extend(inner)
    return found


def _check_types(checks: Checks, schema: DictConfig, whole: DictConfig) -> None:
    for path in _sections(_plain(schema)):
        section = OmegaConf.select(whole, path)
        if not isinstance(section, DictConfig):
            raise UserError(f"{path}={_shown(section)}: this is a section; set its keys as {path}.KEY=VALUE")
    unsure = []
    for path in _paths(_plain(schema)):
        default, value = _resolved(schema, path), _resolved(whole, path)
        if path in CHOICES or (default is None and isinstance(value, Mapping) and takes_mapping(checks.keys, path)):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path}={value}: this key takes a finite number; null is none where a key may be null")
        wanted = _mismatch(default, value)
        if _declared(whole, path) and (wanted is not None or not _vouches(default, value)):
            unsure.append((path, default, value, wanted))
        else:
            _require(path, default, value, wanted)
    for path, default, value, wanted in unsure:  # last, since components are imported for it
        _require(path, default, value, _mismatch_of_signature(whole, path, value, wanted))


def _vouches(default: Any, value: Any) -> bool:
    """Whether a default says enough of a value that is of its kind: not `null`, nor a list of another length."""
    if isinstance(default, list) and isinstance(value, list):
        return len(default) == len(value)
    return default is not None or value is None


def _require(path: str, default: Any, value: Any, wanted: str | None) -> None:
    if wanted is not None:
        beside = "" if default is None else f", as its default {_shown(default)}"
        raise UserError(f"{path}={_shown(value)}: this key takes {wanted}{beside}")


def _declared(whole: DictConfig, path: str) -> str | None:
    """The component whose signature has the key, if it is one's."""
    section, _, name = path.rpartition(".")
    if not section or name.startswith("_"):
        return None
    return "lightning.Trainer" if section == "trainer" else OmegaConf.select(whole, f"{section}._target_")


def _mismatch_of_signature(whole: DictConfig, path: str, value: Any, otherwise: str | None) -> str | None:
    """What the signature takes where `value` is something else; `otherwise` where it says nothing."""
    section, _, name = path.rpartition(".")
    target = _declared(whole, path)
    wanted = TRAINER_TYPES.get(name) if section == "trainer" else annotation(str(target), name)
    if wanted is None:
        return otherwise
    if fits(value, wanted):
        return None
    words = in_words(wanted)
    return otherwise if otherwise is not None and otherwise.startswith(words.partition(",")[0]) else words


def _sections(keys: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in keys.items():
        if isinstance(value, Mapping):
            yield f"{prefix}{name}"
            yield from _sections(value, f"{prefix}{name}.")


def _resolved(config: DictConfig, path: str) -> Any:
    """A value with its references filled in; `MISSING` where they lead nowhere yet."""
    try:
        value = OmegaConf.select(config, path, throw_on_missing=True)
    except OmegaConfBaseException:
        return MISSING
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _mismatch(default: Any, value: Any) -> str | None:
    """What a key takes, judged by its default, where `value` is something else."""
    if default == MISSING or value == MISSING or isinstance(default, Mapping):
        return None
    if default is None:
        return "a single value or a list" if isinstance(value, Mapping) else None
    if isinstance(default, list):
        return _list_mismatch(default, value)
    kind, accepted, wanted = next(rule for rule in _RULES if isinstance(default, rule[0]))
    fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    return None if fits else wanted


_RULES: tuple[tuple[type, tuple[type, ...], str], ...] = (
    (bool, (bool,), "true or false"),
    (int, (int,), "a whole number"),
    (float, (float, int), "a number"),
    (object, (str,), """text (a number as text is written KEY='"2"')"""),
)


def _list_mismatch(default: list[Any], value: Any) -> str | None:
    """The elements of a list whose defaults are all of one kind are of that kind."""
    if not isinstance(value, list):
        return "a list, written [A,B]"
    same_kind = len({type(element) for element in default}) == 1
    wrong = (_mismatch(default[0], element) for element in value) if same_kind else iter(())
    return next((f"a list of which each is {wanted}" for wanted in wrong if wanted is not None), None)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _named(place: Sequence[int | str]) -> str:
    """The key of a place in a config; that of the list, for an element, and of the union, for one of its types."""
    return ".".join(map(str, place[:2])) if place[0] in ("data", "trainer") else str(place[0])


def _check_values(checks: Checks, whole: DictConfig) -> None:
    own = OmegaConf.create(_plain(whole))
    if "output_dir" in own:
        own.output_dir = _resolved(whole, "output_dir")  # it alone may refer to Hydra's node, as the folder of the run
    try:
        missing = sorted(OmegaConf.missing_keys(own))
        plain = OmegaConf.to_container(own, resolve=True) if not missing else {}
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    if missing:
        raise UserError(f"no value for {', '.join(missing)}; give {' '.join(f'{key}=VALUE' for key in missing)}")
    assert isinstance(plain, dict)
    try:
        own_fields = checks.keys.model_fields
        checks.keys.model_validate({k: v for k, v in plain.items() if k in own_fields or not isinstance(v, dict)})
    except ValidationError as error:
        first = error.errors()[0]
        told = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise UserError(f"{_named(first['loc'])}={_shown(first['input'])}: {told}") from error
    check_files(checks, plain)
    if checks.check is not None:
        checks.check(own)
