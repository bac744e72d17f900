"""Refuses a composed config whose keys or values are not those of the yaml. Imports nothing heavy.

The yaml is the schema. A key exists where the yaml of the command or of a chosen option has it, and its default says
its type. A section with a `_target_` is open: any other parameter of that component is a key as well, and its
annotation says the type; only then is it imported. A command's own `null` takes any scalar or list.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from ldmlab.configs.catalogue import options
from ldmlab.configs.checks import Checks
from ldmlab.configs.errors import UserError
from ldmlab.configs.hints import instead_of_group, instead_of_key
from ldmlab.configs.key_types import check_sections, check_types, leaves, require_type, shown
from ldmlab.configs.keys import chosen_keys, types_in_sections
from ldmlab.configs.overrides import Given
from ldmlab.configs.schema import EXPERIMENT, Sources, schema, several
from ldmlab.configs.signatures import INSTANTIATE, annotation, names
from ldmlab.configs.trainer_keys import SET_BY_LDMLAB, SET_ELSEWHERE
from ldmlab.configs.unread import check_choices
from ldmlab.configs.user_files import check_files

log = logging.getLogger(__name__)


def check(
    command: str,
    config: DictConfig,
    checks: Checks,
    loader: ConfigLoader,
    complete: bool = True,
    is_checked_again: bool = False,
) -> list[str]:
    """Check a composed config, and take out of it what falls away.

    Args:
        command: whose config it is.
        config: with Hydra's own node.
        checks: what the command asks beyond its yaml.
        loader: of Hydra, by which it was composed.
        complete: also refuse values that are missing or out of range; not wanted where a config is only shown.
        is_checked_again: no component is imported for the sake of what an experiment of ldmlab's says.

    Returns:
        The keys of an experiment or a protocol that fell away, because the user chose other options.

    Raises:
        UserError: the first thing that is wrong.
    """
    given = Given.of(config)
    sources, primary = Sources.of(config), str(config.hydra.job.config_name)
    lists = several(primary, given.experiment, given.choices, sources) | given.lists
    keys = schema(command, primary, given.chosen | lists, sources)
    fallen = _check_keys(command, keys, config, given, loader)
    check_sections(keys, config)
    free = chosen_keys(checks.keys) | {*checks.untyped}
    ours = is_checked_again and _is_ours(given)
    check_types(keys, config, free, types_in_sections(checks.keys), lambda path: ours and not given.sets(path))
    if complete:
        _check_taken(command, given, sources, checks)
        _check_values(checks, config)
        check_choices(checks.rules, given.keys, config)
        if checks.check is not None:
            checks.check(_own(config))
    return fallen


def _is_ours(given: Given) -> bool:
    """Whether what the user has not set comes from ldmlab's own files."""
    elsewhere = any(line.startswith("hydra.searchpath=") for line in given.hydra)
    return not elsewhere and (given.experiment is None or given.experiment in options(EXPERIMENT))


def tell_fallen(paths: Sequence[str]) -> None:
    """Say which keys of an experiment or a protocol do not count."""
    if paths:
        log.warning("%s: set by an experiment or protocol for options that are not chosen", ", ".join(paths))


def _check_keys(
    command: str, keys: Mapping[str, Any], config: DictConfig, given: Given, loader: ConfigLoader
) -> list[str]:
    extra = list(_extra(keys, _plain(config)))
    fallen = _fallen(command, extra, config, given, loader) if extra else []
    drop(config, fallen)
    for path in extra:
        if path not in fallen:
            _check_open(command, keys, config, given, path)
    return fallen


def _check_open(command: str, keys: Mapping[str, Any], config: DictConfig, given: Given, path: str) -> None:
    """A key that no yaml has: right where the component of its section has such a parameter."""
    section, _, name = path.rpartition(".")
    value = OmegaConf.select(config, path)
    around = OmegaConf.select(config, section) if section else None
    where = " (in the experiment)" if given.experiment is not None and not given.sets(path) else ""
    if (instead := {**SET_BY_LDMLAB, **SET_ELSEWHERE}.get(path)) is not None:
        raise UserError(f"{path}: {instead}")
    if path in given.choices and path != EXPERIMENT:
        raise UserError(f"'{command}' has no group '{path}' here{instead_of_group(command, path)}")
    if isinstance(around, DictConfig) and "_target_" in around:
        known = names(str(around["_target_"]))
        if name in INSTANTIATE or known is None:
            return
        if name not in known:
            written = [*(f"{section}.{each}" for each in known), *(key for key, _ in leaves(keys))]
            raise UserError(f"unknown key '{path}'{where}{instead_of_key(command, path, written)}")
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if not (isinstance(plain, Mapping) and "_target_" in plain):
            require_type(path, plain, annotation(str(around["_target_"]), name))
    elif not (_holds_components(around) and isinstance(value, DictConfig) and "_target_" in value):
        raise UserError(f"unknown key '{path}'{where}{instead_of_key(command, path, [key for key, _ in leaves(keys)])}")


def _holds_components(section: Any) -> bool:
    """Whether a section is a list of components by name, as that of a group of which several options are chosen."""
    return isinstance(section, DictConfig) and all(
        isinstance(each, DictConfig) and "_target_" in each for each in section.values()
    )


def _fallen(command: str, extra: Sequence[str], config: DictConfig, given: Given, loader: ConfigLoader) -> list[str]:
    """The paths that an experiment or a protocol sets for an option in whose place another is chosen, without them."""
    if not given.setters:
        return []
    primary = str(config.hydra.job.config_name)
    setters = [f"{group}={option}" for group, option in given.setters.items()]
    lines = [*(line for line in given.hydra if line.startswith("hydra.searchpath=")), *setters]
    meant = loader.compute_defaults_list(primary, lines, RunMode.RUN).overrides.known_choices
    sources = Sources.of(config)
    theirs = schema(command, primary, {**meant, **several(primary, given.experiment, meant, sources)}, sources)
    unknown = set(_extra(theirs, _plain(config)))
    return [path for path in extra if path not in unknown and not given.sets(path)]


def drop(config: DictConfig, paths: Iterable[str]) -> None:
    """Take keys out of a config."""
    with read_write(config), open_dict(config):
        for path in paths:
            section, _, name = path.rpartition(".")
            del (OmegaConf.select(config, section) if section else config)[name]


def _extra(keys: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths that exist in `given` alone; an empty section takes any keys."""
    for name, value in given.items():
        path = f"{prefix}{name}"
        if name not in keys:
            yield path
        elif isinstance(keys[name], Mapping) and keys[name] and isinstance(value, Mapping):
            yield from _extra(keys[name], value, f"{path}.")


def _plain(config: DictConfig) -> dict[str, Any]:
    """Nested dicts and lists with references left as they are, without Hydra's own node."""
    container = OmegaConf.to_container(config, resolve=False)
    return {str(key): value for key, value in dict(container).items() if key != "hydra"}  # type: ignore[arg-type]


def _check_taken(command: str, given: Given, sources: Sources, checks: Checks) -> None:
    """Refuse that a group was taken away without which the command has nothing to work with."""
    file = sources.find(command)
    needed = {group for group, option in file.choices if option is not None} - {*checks.optional} if file else set()
    for group in given.taken:
        if group in needed:
            raise UserError(f"~{group}: `ldmlab {command}` cannot do without it; choose another option")


def plain_values(config: DictConfig) -> dict[str, Any]:
    """The values of a config that was checked, plain and resolved, without Hydra's own node."""
    values: Any = OmegaConf.to_container(_own(config), resolve=True)
    return dict(values)


def _own(config: DictConfig) -> DictConfig:
    own = OmegaConf.create(_plain(config))
    if "output_dir" in own:  # it alone may refer to Hydra's node, as the folder of the run
        with suppress(OmegaConfBaseException):
            own.output_dir = config.output_dir
    return own


def _check_values(checks: Checks, config: DictConfig) -> None:
    own = _own(config)
    try:
        missing = sorted(OmegaConf.missing_keys(own))
        plain: Any = OmegaConf.to_container(own, resolve=True) if not missing else {}
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    if missing:
        raise UserError(f"no value for {', '.join(missing)}; give {' '.join(f'{key}=VALUE' for key in missing)}")
    check_ranges(checks, plain)
    check_files(checks, plain)


def check_ranges(checks: Checks, values: Mapping[Any, Any]) -> None:
    """Refuse values that are not in the ranges of a command's own keys.

    Raises:
        UserError: naming the first such key.
    """
    fields = {field.alias or name for name, field in checks.keys.model_fields.items()}
    own = {name: value for name, value in values.items() if name in fields or not isinstance(value, dict)}
    try:
        checks.keys.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        key = _named(first["loc"], values)
        if first["type"] == "missing":
            raise UserError(f"{key}: the command cannot do without this key; give {key}=VALUE") from error
        reason = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise UserError(f"{key}={shown(first['input'])}: {reason}") from error


def _named(place: Sequence[int | str], values: Mapping[Any, Any]) -> str:
    """The key of a place in a config; that of the list, for an element, and of the union, for one of its types."""
    inside = isinstance(values.get(place[0]), Mapping)
    return ".".join(map(str, place[: 2 if inside else 1]))
