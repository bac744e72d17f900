"""What a cache was made of, in a file beside it, so that a stale one is refused."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ldmlab.atomic import write_json
from ldmlab.files import read_text
from ldmlab.ranks import ALONE, Ranks

NAME = "manifest.json"
Facts = Mapping[str, str | int | bool]
_OURS = re.compile(r"(\d{6,}|replaced)\.npy")


def claim(folder: Path, facts: Facts, rebuild: bool = False, ranks: Ranks = ALONE) -> None:
    """Make a folder the cache of something, or find that it is.

    Args:
        folder: it; made if need be.
        facts: all that decides what the cache holds.
        rebuild: take away what is there of something else, rather than refuse.
        ranks: those that use it together, of which the first does this.

    Raises:
        ValueError: a cache of something else is there.
        OSError: the folder cannot be made or written to.
    """
    refused: str | OSError | None = None
    if ranks.is_first:
        try:
            refused = _claimed(folder, facts, rebuild)
        except OSError as error:
            refused = error
    refused = ranks.first(refused)  # told to all, so that none waits for another
    if isinstance(refused, OSError):
        raise refused
    if refused is not None:
        raise ValueError(refused)
    if not all(ranks.gather(is_of(folder, facts))):  # hosts that do not see each other's disks
        if refused := _claimed(folder, facts, rebuild):
            raise ValueError(refused)
        ranks.barrier()


def origin_of(facts: Facts) -> int:
    """Return a number from 0 to 2^32 - 1 that stands for what a cache was made of."""
    return zlib.crc32(json.dumps(dict(facts), sort_keys=True).encode())


def is_of(folder: Path, facts: Facts) -> bool:
    """Whether a folder is the cache of something."""
    return _stored(folder) == dict(facts)


def _claimed(folder: Path, facts: Facts, rebuild: bool) -> str | None:
    """None, or why not."""
    if folder.is_symlink():
        return f"{folder}: is a link, which is not followed; remove it, or name the folder by latents.path="
    stored = _stored(folder)
    if stored == dict(facts):
        return None
    if stored is not None and not rebuild:
        keep = "or keep it and name another folder by latents.path="
        return f"{folder}: {_difference(stored, facts)}; make it anew by latents.rebuild=true, {keep}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
    write_json(folder / NAME, dict(facts))
    return None


def _stored(folder: Path) -> dict[str, object] | None:
    """What is said of a cache there; None for nothing, and {} for what nobody can read."""
    path = folder / NAME
    if not (path.exists() or path.is_symlink()):
        return None
    with suppress(OSError, ValueError, RecursionError):
        stored = json.loads(read_text(path))
        if isinstance(stored, dict):
            return stored
    return {}


def _difference(stored: Mapping[str, object], facts: Facts) -> str:
    """The first fact that is another one."""
    for name, value in facts.items():
        if name not in stored:
            return f"holds a cache that does not say its {name}"
        if stored[name] != value or isinstance(stored[name], bool) is not isinstance(value, bool):
            return f"holds a cache of {name}={_short(stored[name])}, and this run has {name}={_short(value)}"
    return f"holds a cache of {', '.join(map(_short, stored.keys() - facts.keys()))} as well"


def _short(value: object) -> str:
    """A value on one line, digests by their begin."""
    return repr(str(value)[:12])[1:-1] if isinstance(value, str) else str(value)[:20]
