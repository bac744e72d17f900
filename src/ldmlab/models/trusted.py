"""Modules of the user's own whose classes a stored config may name, beside those of the model rooms."""

from __future__ import annotations

import os
import re

VARIABLE = "LDMLAB_TRUST"
"""Names of modules, with commas between them; a package stands for all of its modules. Nobody else can set it, so a
checkpoint of a stranger builds nothing but ldmlab's own classes unless the user says so."""


def is_trusted(module: str) -> bool:
    """Whether the user has named a module, or a package that it is in."""
    return any(module == name or module.startswith(f"{name}.") for name in _names())


def how_to_trust(module: str) -> str:
    """The end of a line that refuses a class of this module, with what to do if the user wrote it."""
    if not all(part.isidentifier() for part in module.split(".")) or module.split(".")[0] == "ldmlab":
        return ""
    return f"; if you wrote that module, say so: {VARIABLE}={','.join([*_names(), module])}"


def _names() -> list[str]:
    return [name for name in re.split(r"[\s,]+", os.environ.get(VARIABLE, "")) if name]
