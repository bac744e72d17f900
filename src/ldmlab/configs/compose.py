"""Composes a command's config with Hydra, and says in one line what Hydra could not do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ldmlab.configs import catalogue, searchpath
from ldmlab.configs.errors import UserError, one_line
from ldmlab.configs.hints import instead_of_group, instead_of_option
from ldmlab.configs.suggest import hint
from ldmlab.paths import conf_dir, expand_home


class Composer:
    """Composes the config of one command.

    Args:
        command: the name of a yaml in conf/.
        overrides: Hydra's, without sweeps.

    Raises:
        UserError: an override that cannot be read, or that takes a key away.
    """

    def __init__(self, command: str, overrides: Sequence[str]) -> None:
        self.command = command
        parsed = parse_overrides(overrides)
        for override in parsed:
            _refuse_unsupported(override)
        self.hydra = [o for o in parsed if o.is_hydra_override()]
        own = [o for o in parsed if not o.is_hydra_override()]
        self.choices = [o for o in own if self._is_group(o)]
        self.values = [o for o in own if o not in self.choices]

    def whole(self) -> DictConfig:
        """The config with all overrides, and Hydra's own node."""
        return self._compose([*self.hydra, *self.choices, *self.values])

    def chosen(self) -> DictConfig:
        """The config with the choices of groups alone."""
        return self._compose([*self.hydra, *self.choices])

    def schema(self, config: DictConfig) -> DictConfig:
        """A config with the same options as one that was composed, but no experiment: its keys are those that exist."""
        options = config.hydra.runtime.choices.items()
        own = {group: option for group, option in options if not group.startswith("hydra/")}
        experiment = own.pop(searchpath.GROUP, None)
        if experiment in (None, "null"):
            return self.chosen() if self.values else config
        lines = [f"{group}={option}" for group, option in own.items() if option is not None]
        return self._compose([*self.hydra, *parse_overrides(lines)])

    def unreplaced(self) -> DictConfig:
        """The schema of the experiment with the options that it chooses itself: the keys that it was written for."""
        choices = self.choices
        self.choices = [o for o in choices if o.key_or_group == searchpath.GROUP]
        try:
            return self.schema(self.chosen())
        finally:
            self.choices = choices

    def _is_group(self, override: Override) -> bool:
        if "." in override.key_or_group:  # looking for a group takes Hydra a while
            return False
        search = [str(o.input_line) for o in self.hydra if o.key_or_group == "hydra.searchpath"]
        loader = GlobalHydra.instance().config_loader()
        found = loader.get_group_options(override.key_or_group, None, self.command, search)
        is_group = bool(found) or override.key_or_group == searchpath.GROUP
        if is_group and (override.is_add() or override.is_force_add()):
            raise UserError(f"'{override.input_line}': an option of a group is chosen without the '+'")
        if is_group and not isinstance(override.value(), str):
            raise UserError(
                f"'{override.input_line}': '{override.key_or_group}' is a group and takes the name of an option"
                f"{hint(str(override.value()), catalogue.options(override.key_or_group))}"
            )
        return is_group

    def _compose(self, overrides: Sequence[Override]) -> DictConfig:
        try:
            return compose(self.command, [str(o.input_line) for o in overrides], return_hydra_config=True)
        except MissingConfigException as error:
            raise UserError(self._no_such_option(error)) from error
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise UserError(self._cannot(error)) from error

    def _no_such_option(self, error: MissingConfigException) -> str:
        """Name the nearest option of the group, also of those in its subfolders and in further search paths."""
        missing = str(error.missing_cfg_file)
        group, _, option = missing.rpartition("/") if missing.startswith("hydra/") else missing.partition("/")
        file = str(error).partition("'")[2].partition("'")[0] if str(error).startswith("In ") else self.command
        nested = option.rpartition("/")[0]
        known = {"/".join(filter(None, [nested, name])) for name in error.options or ()} | set(catalogue.options(group))
        where = "" if file == self.command else f" (in {file})"
        return f"group '{group}' has no option '{option}'{where}{instead_of_option(self.command, group, option, known)}"

    def _cannot(self, error: Exception) -> str:
        """Keep the part of Hydra's message that is about the user's words."""
        chosen = " ".join(str(o.input_line) for o in self.choices if o.key_or_group != searchpath.GROUP)
        if chosen and str(error).startswith(f"In '{searchpath.GROUP}/"):
            self.unreplaced()  # raises what is wrong with the experiment itself
            group = str(error).partition("override '")[2].partition("'")[0]
            return f"{chosen}: leaves no place for '{group}', of which the experiment chooses an option; leave one out"
        foreign = next((o for o in self.choices if f"override '{o.key_or_group}'" in str(error)), None)
        if foreign is not None:
            group = foreign.key_or_group
            return f"'{self.command}' has no group '{group}' here{instead_of_group(self.command, group)}"
        message = str(error).partition("\nTo append")[0].partition("\n    full_key")[0]
        return one_line(message.removesuffix(".").replace("Could not override", "unknown key"))


@contextmanager
def hydra_at_conf(command: str) -> Iterator[None]:
    """Let Hydra compose from conf/ and experiments/ inside the block; a job of a sweep is inside Hydra already."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    searchpath.register()
    with initialize_config_dir(str(conf_dir()), job_name=command, version_base="1.3"):
        yield


@contextmanager
def as_job(config: DictConfig, number: int | None = None) -> Iterator[Path]:
    """Let references to what Hydra knows of a job (`${hydra:job.num}`) resolve inside the block; give its folder.

    Args:
        config: with Hydra's own node.
        number: of the job in a sweep; None for a single run.

    Raises:
        UserError: the folder cannot be named.
    """
    settings = HydraConfig.instance()
    outer = settings.cfg
    try:
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.job.update(num=number or 0, id=str(number or 0))
            settings.set_config(config)
            folder = _folder(config, number is not None)
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.runtime.output_dir = str(folder)
        settings.set_config(config)
        yield folder
    finally:
        settings.cfg = outer


def _folder(config: DictConfig, in_sweep: bool) -> Path:
    keys = ("hydra.sweep.dir", "hydra.sweep.subdir") if in_sweep else ("hydra.run.dir",)
    try:
        parts = [str(OmegaConf.select(config, key, throw_on_missing=True)) for key in keys]
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {one_line(str(error).splitlines()[0])}") from error
    return Path(os.path.abspath(expand_home(os.path.join(*parts))))


def parse_overrides(lines: Sequence[str]) -> list[Override]:
    """Read overrides.

    Raises:
        UserError: one that is not in Hydra's grammar.
    """
    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
    try:
        return OverridesParser.create(config_loader=loader).parse_overrides(list(lines))
    except OverrideParseException as error:
        problem = error.message.splitlines()[0]
        raise UserError(
            f"cannot read '{one_line(error.override)}' as an override ({one_line(problem)}); put text with special "
            f"""characters in two kinds of quotes: 'KEY="some, text"'"""
        ) from error


def _refuse_unsupported(override: Override) -> None:
    if override.is_delete():
        raise UserError(f"'{override.input_line}': keys are set, not taken away; give it another value")
    if override.is_sweep_override():
        raise UserError(
            f"'{override.input_line}' gives several values; add -m to run once for each, "
            f"or put them in brackets for a list"
        )
