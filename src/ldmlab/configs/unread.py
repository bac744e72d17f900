"""Choices of the user that nothing would read: an error as any wrong key is, where a default is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ldmlab.configs.checks import Rule
from ldmlab.configs.errors import UserError


def check_choices(rules: Sequence[Rule], chosen: Iterable[str], config: DictConfig) -> None:
    """Refuse what nothing will read.

    Args:
        rules: of the command.
        chosen: the keys and groups that the user set.
        config: whole.

    Raises:
        UserError: naming the first of them and the reason.
    """
    given = list(chosen)
    for rule in rules:
        if rule.applies(config):
            refuse_choices(given, rule.keys, rule.why)


def chosen_by_user() -> list[str]:
    """The keys and groups on the command line of the job that runs."""
    lines: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(line).lstrip("+").partition("=")[0] for line in lines]


def refuse_choices(chosen: Iterable[str], keys: tuple[str, ...], why: str) -> None:
    """Refuse keys and groups that the user set and that a command, once it runs, finds it makes no use of.

    Args:
        chosen: the keys and groups that the user set.
        keys: names of keys or groups.
        why: the reason, for the message.

    Raises:
        UserError: naming the first of them and the reason.
    """
    for given in chosen:
        if any(given == key or given.startswith((f"{key}.", f"{key}@")) for key in keys):
            raise UserError(f"{given}: nothing would read it: {why}")
