"""WebDataset's way to open urls: imported where it is needed, and with its safety on unless the user says otherwise."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

SWITCH = "WDS_SECURE"
"""Read by webdataset when it is imported: 1 forbids commands in urls, and pickles."""


def opener_of_urls(secure: bool) -> Any:
    """Return `webdataset.gopen`, a module: `gopen(url)` opens one, `gopen_schemes` are those that there are.

    Args:
        secure: refuse urls that run a command or that the environment rewrites, and pickles.
    """
    os.environ[SWITCH] = str(int(secure))
    module = import_module("webdataset.gopen")
    module.utils.enforce_security = secure  # also where something else has imported it before
    return module
