"""What Hydra could not compose, in one line about the user's words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ldmlab.configs import catalogue
from ldmlab.configs.errors import UserError, one_line
from ldmlab.configs.hints import instead_of_group, instead_of_option, instead_of_section
from ldmlab.configs.overrides import unreadable
from ldmlab.configs.schema import EXPERIMENT
from ldmlab.configs.suggest import hint
from ldmlab.configs.yaml_files import read
from ldmlab.paths import conf_dir

COMPOSING = (HydraException, OmegaConfBaseException, YAMLError, ValueError)
_NO_SUCH_KEY = re.compile(r"Could not override '([^']+)'\.\nTo append")
_NO_SUCH_GROUP = re.compile(r"Could not override '([^']+)'\.\s+(?:No match in the defaults|Did you mean to override)")
_NOTHING_TO_DELETE = re.compile(r"Could not delete from config\. '(.+?)' does not exist")
_TWICE = re.compile(r"^(\S+) appears more than once in the final defaults list")
_NO_SECTION = re.compile(r"^Error merging override ([^=]+)=")
_EXTRAS = {"hydra/launcher/joblib": "sweep", "hydra/sweeper/optuna": "sweep",
           "hydra/launcher/submitit_slurm": "slurm", "hydra/launcher/submitit_local": "slurm"}  # fmt: skip
"""Plugins of Hydra that are packages of their own, by the extra that has them."""
_SEVERAL = re.compile(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)'(?:\n| requires)", re.S)


def opened(error: Exception, overrides: Sequence[str]) -> list[str] | None:
    """The overrides with the key that Hydra did not know added to the config, so that it can be held against the
    component of its section; None where the error is another one."""
    unknown = _NO_SUCH_KEY.search(str(error))
    if unknown is None or unknown[1].startswith("hydra."):
        return None
    more = [f"++{line}" if line.partition("=")[0] == unknown[1] else line for line in overrides]
    return None if more == list(overrides) else more


def in_one_line(error: Exception, command: str, overrides: Sequence[str]) -> UserError:
    """What a user reads of an error of Hydra's.

    Args:
        error: raised while it composed.
        command: whose config it was to be.
        overrides: as on the command line.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, OverrideParseException):
        return UserError(unreadable(error))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return UserError(_no_such_option(error, command))
    return UserError(_cannot(error, command, overrides))


def _no_such_option(error: MissingConfigException, command: str) -> str:
    """Name the nearest option of the group, also of those in its subfolders and in further search paths."""
    missing = str(error.missing_cfg_file)
    group, _, option = missing.rpartition("/") if missing.startswith("hydra/") else missing.partition("/")
    if not option:
        return f"-cn {missing}: there is no such config; give the name of a yaml in --config-dir, not --config-path"
    if missing in _EXTRAS:
        return f"{group}={option}: is not installed; pip install 'ldmlab[{_EXTRAS[missing]}]' brings it"
    file = str(error).partition("'")[2].partition("'")[0] if str(error).startswith("In ") else command
    nested = option.rpartition("/")[0]
    known = {"/".join(filter(None, [nested, name])) for name in error.options or ()} | set(catalogue.options(group))
    where = f" (in {file})" if _chooses(file, group, option) else ""
    return f"group '{group}' has no option '{option}'{where}{instead_of_option(command, group, option, known)}"


def _chooses(file: str, group: str, option: str) -> bool:
    """Whether it is a file's own defaults list that chooses an option, and not the command line or an experiment."""
    path = conf_dir() / f"{file}.yaml"
    return not file.startswith("hydra/") and (not path.is_file() or (group, option) in read(path).choices)


def _cannot(error: Exception, command: str, overrides: Sequence[str]) -> str:
    text = str(error) or str(error.__cause__ or "")
    several = _SEVERAL.search(text)
    if several is not None:
        return f"'{several[1]}' gives several values; add -m to run once for each, or put them in brackets for a list"
    absent = _NOTHING_TO_DELETE.search(text)
    if absent is not None:
        return f"~{absent[1]}: there is no such key; --cfg job prints all keys"
    twice = _TWICE.search(text)
    if twice is not None:
        return f"'+{twice[1]}=...': an option of a group is chosen without the '+'"
    if text.startswith("Config group override"):
        return _no_name(overrides)
    section = _NO_SECTION.search(text)
    if section is not None:
        path = section[1].lstrip("+~")
        return f"{path}: this is a section; {instead_of_section(command, path)}"
    foreign = _NO_SUCH_GROUP.search(text)
    if foreign is not None:
        return _no_such_group(foreign[1], text, command, overrides)
    message = text.partition("\nTo append")[0].partition("\n    full_key")[0].partition("\nEither remove")[0]
    line = one_line(message).removesuffix(".").replace("Could not override", "unknown key")
    return f"{line}; --cfg hydra prints Hydra's own keys" if line.startswith("unknown key 'hydra.") else line


def _no_name(overrides: Sequence[str]) -> str:
    """A number or the like in the place of an option."""
    groups = catalogue.all_groups()
    for line in overrides:
        group, _, value = line.partition("=")
        if group in groups and not value.startswith("[") and value not in catalogue.options(group):
            near = hint(value, catalogue.options(group))
            return f"'{line}': '{group}' is a group and takes the name of an option{near}"
    return "a group takes the name of an option"


def _no_such_group(group: str, text: str, command: str, overrides: Sequence[str]) -> str:
    """An option is chosen of a group that the command does not have, or not with its other options."""
    if not text.startswith(f"In '{EXPERIMENT}/"):
        return f"'{command}' has no group '{group}' here{instead_of_group(command, group)}"
    groups = {each.name for each in catalogue.groups(command)} - {EXPERIMENT}
    choices = " ".join(line for line in overrides if line.partition("=")[0].partition("@")[0] in groups)
    if choices and group.partition("@")[0] in groups:
        return f"{choices}: leaves no place for '{group}', of which the experiment chooses an option; leave one out"
    name = text.removeprefix(f"In '{EXPERIMENT}/").partition("'")[0]
    if name in catalogue.options(EXPERIMENT) and catalogue.command_of(name) != command:
        return f"{EXPERIMENT}={name}: is one for `ldmlab {catalogue.command_of(name)}`, which has the group '{group}'"
    return f"unknown key '{group}' (in the experiment){instead_of_group(command, group)}"
