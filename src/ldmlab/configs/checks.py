"""What a command says of its config beyond what its yaml says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ldmlab.configs.keys import AnyKeys

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Rule:
    """Keys and groups of a command that a setting makes useless.

    Attributes:
        keys: groups, each with all its keys, or dotted keys.
        applies: whether the setting, of a whole config, is that one.
        why: the end of the line that says so.
    """

    keys: tuple[str, ...]
    applies: Callable[[DictConfig], bool]
    why: str


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What is asked of a config before its command begins.

    Attributes:
        keys: the ranges of the keys that belong to no group.
        rules: choices of the user that nothing would read.
        reads: keys that name a file or folder, each with what is said where nothing is there.
        writes: keys that name a folder which is written to.
        folders: keys of checkpoints that may be folders.
        untyped: keys whose values may have another form than the component takes, which the command reads.
        optional: groups that may be taken away (`~logger`), beside those whose default is none.
        check: a further look at the whole config, which imports nothing heavy.
    """

    keys: type[BaseModel] = AnyKeys
    rules: tuple[Rule, ...] = ()
    reads: Mapping[str, str] = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    untyped: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    check: Callable[[DictConfig], None] | None = None


def setting(key: str, *values: object) -> Callable[[DictConfig], bool]:
    """Whether a key of a config is one of these values, for a `Rule`."""

    def applies(config: DictConfig) -> bool:
        from omegaconf import OmegaConf

        return OmegaConf.select(config, key, default=None) in values

    return applies


NO_ADAPTER = Rule(("adapter_scale",), setting("adapter_ckpt", None), "there is no adapter_ckpt")
"""For the commands that take an adapter."""
NO_SHARDS = "no such folder; write shards with `ldmlab data dataset=shapes`, or give a folder of img2dataset tars"
"""For keys that name shards which are read."""
