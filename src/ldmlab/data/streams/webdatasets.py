"""WebDataset, which opens urls: imported where it is needed, and with its safety on unless the user says otherwise."""

from __future__ import annotations

import os
from typing import Any

SWITCH = "WDS_SECURE"
"""Read by webdataset when it is imported: 1 forbids commands in urls, and pickles."""


def webdatasets(secure: bool) -> Any:
    """Return the package.

    Args:
        secure: refuse urls that run a command or that the environment rewrites, and pickles.
    """
    os.environ[SWITCH] = str(int(secure))
    import webdataset

    webdataset.utils.enforce_security = secure  # also where something else has imported it before
    return webdataset
