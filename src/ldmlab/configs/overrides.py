"""What the user set on the command line, as Hydra has kept it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict

from ldmlab.configs.errors import UserError, one_line
from ldmlab.configs.schema import EXPERIMENT
from ldmlab.configs.yaml_files import SETTERS

PROTOCOL = "protocol"


def name_protocol(config: DictConfig, choices: Mapping[str, Any]) -> None:
    """Let a config say by which protocol it was composed, where there is one.

    Args:
        config: of a command.
        choices: the chosen option of each group, as Hydra's own node has them.
    """
    chosen = choices.get(PROTOCOL)
    if chosen not in (None, "null"):
        with open_dict(config):
            config[PROTOCOL] = chosen


def parse(lines: Sequence[str]) -> list[Override]:
    """Read overrides.

    Raises:
        UserError: one that is not in Hydra's grammar.
    """
    try:
        return OverridesParser.create().parse_overrides(list(lines))
    except OverrideParseException as error:
        raise UserError(unreadable(error)) from error


def unreadable(error: OverrideParseException) -> str:
    """A line about an override that is not in Hydra's grammar."""
    problem = error.message.splitlines()[0]
    return (
        f"cannot read '{one_line(str(error.override))}' as an override ({one_line(problem)}); put text with special "
        f"""characters in two kinds of quotes: 'KEY="some, text"'"""
    )


@dataclass(frozen=True)
class Given:
    """The overrides of a composed config.

    Attributes:
        hydra: those of Hydra's own node, as they were written.
        own: the others, read.
        choices: the chosen option of each group.
    """

    hydra: tuple[str, ...]
    own: tuple[Override, ...]
    choices: Mapping[str, Any]

    @classmethod
    def of(cls, config: DictConfig) -> Given:
        """Read what the user gave from a composed config that has Hydra's own node."""
        written: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
        choices: Any = OmegaConf.to_container(config.hydra.runtime.choices, resolve=False)
        return cls(tuple(written["hydra"]), tuple(parse(written["task"])), choices)

    @property
    def keys(self) -> list[str]:
        """The keys and groups that the user set."""
        return [override.key_or_group for override in self.own]

    @property
    def taken(self) -> list[str]:
        """The keys and groups that the user took away."""
        return [override.key_or_group for override in self.own if override.is_delete()]

    @property
    def experiment(self) -> str | None:
        """The experiment that is chosen."""
        chosen = self.choices.get(EXPERIMENT)
        return None if chosen in (None, "null") else str(chosen)

    @property
    def setters(self) -> dict[str, str]:
        """The experiment and the protocol, where one is chosen."""
        chosen = {group: self.choices.get(group) for group in sorted(SETTERS)}
        return {group: str(option) for group, option in chosen.items() if option not in (None, "null")}

    @property
    def chosen(self) -> dict[str, Any]:
        """The choices without those of groups that the command line has added, which set keys as experiments do."""
        more = (override for override in self.own if override.is_add() or override.is_force_add())
        added = {each.get_key_element().lstrip("+") for each in more if not isinstance(each.value(), dict)}
        return {group: option for group, option in self.choices.items() if group not in added}

    @property
    def lists(self) -> dict[str, Any]:
        """What may be lists of options of a group, which Hydra does not list among the choices."""
        values = ((each.get_key_element(), each) for each in self.own if each.type == OverrideType.CHANGE)
        return {key: override.value() for key, override in values if isinstance(override.value(), list)}

    def sets(self, path: str) -> bool:
        """Whether a key, or one around it or inside it, was set on the command line."""
        own = [
            override.key_or_group
            for override in self.own
            if override.get_key_element().lstrip("+~") not in self.choices
        ]
        return any(key == path or path.startswith(f"{key}.") or key.startswith(f"{path}.") for key in own)
