"""Options of groups as their files say, which takes no time to compose."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from ldmlab.paths import conf_dir


@cache
def section_of(group: str, name: str) -> dict[str, Any]:
    """An option's yaml, over that of the option it begins with."""
    own = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    base = [section_of(group, each) for each in own.pop("defaults", []) if isinstance(each, str)]
    return {key: value for part in (*base, own) for key, value in part.items()}
