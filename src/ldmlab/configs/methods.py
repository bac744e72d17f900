"""Several editing methods in one config, each written as it would be for `ldmlab edit`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omegaconf import DictConfig

from ldmlab.configs.commands.edit import CHECKS
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError

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
        return validate("edit", [f"method={name}", "image=given", *keys], checks=CHECKS)
    except UserError as error:
        raise UserError(f"methods={entry}: {error}") from error
