"""Where conf/ and experiments/ lie: at the top of a checkout, inside the package of a wheel. And the home of a user."""

from __future__ import annotations

import os
from pathlib import Path


def _home() -> Path:
    """The folder that holds conf/ and experiments/.

    An editable install leaves a copy in site-packages that ages, so a checkout's own folders come first.
    """
    package = Path(__file__).resolve().parents[0]
    checkout = package.parents[1]
    is_checkout = (checkout / "pyproject.toml").is_file() and (checkout / "conf").is_dir()
    return checkout if is_checkout else package


def conf_dir() -> Path:
    """The folder with a yaml for every command and a folder for every config group."""
    return _home() / "conf"


def experiments_dir() -> Path:
    """The folder with the studies: the config group `experiment`, in a checkout by a link."""
    return conf_dir() / "experiment"


def expand_home(path: str) -> str:
    """A path with `~` and `~user` as a shell would read them.

    Raises:
        ValueError: there is no such user.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ValueError(
            f"{path}: there is no user '{path[1:].partition('/')[0]}'; write ./{path} for a file of that name"
        )
    return expanded


def user_cache() -> Path:
    """The folder for what can be made again, in `$XDG_CACHE_HOME` or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ldmlab"
