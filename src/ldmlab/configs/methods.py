"""Several editing methods in one config, each written as it would be for `ldmlab edit`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ldmlab.configs.commands.edit import CHECKS
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError
from ldmlab.configs.quoting import override
from ldmlab.paths import conf_dir

_NEXT_KEY = re.compile(r"\s+(?=[\w.@]+=)")
_OWN = re.compile(r"(method\.|inversion[.=])")
"""Where an override begins that is a method's own."""


def compose_methods(entries: Sequence[str]) -> dict[str, DictConfig]:
    """The config of `ldmlab edit` for each method, checked.

    Args:
        entries: what follows `method=` on the command line of `ldmlab edit`, and keys of the method itself or of its
            inversion: "prompt_to_prompt inversion=ddim method.tau=0.5".

    Raises:
        UserError: naming the entry: it is no method, has another's keys, or stands there twice.
    """
    found: dict[str, DictConfig] = {}
    for entry in entries:
        if entry in found:
            raise UserError(f"methods: '{entry}' stands there twice; leave one out")
        found[entry] = _composed(entry)
    return found


def _composed(entry: str) -> DictConfig:
    name, *keys = _NEXT_KEY.split(entry.strip())
    for key in keys:
        if not _OWN.match(key):
            raise UserError(
                f"methods={entry}: {key} is not the method's own; only method.KEY=VALUE and inversion=NAME may follow "
                "its name"
            )
    try:
        return validate("edit", [f"method={name}", "image=given", *keys, *_users_folders()], checks=CHECKS)
    except UserError as error:
        raise UserError(f"methods={entry}: {error}") from error


def _users_folders() -> list[str]:
    """Where else options lie, for a process that Hydra did not start but that was given the config of one."""
    if GlobalHydra.instance().is_initialized() or not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    folders = [source.path for source in sources if source.schema == "file" and Path(source.path) != conf_dir()]
    return [override("hydra.searchpath", [f"file://{folder}" for folder in folders])] if folders else []
