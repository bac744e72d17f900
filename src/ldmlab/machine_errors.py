"""Errors of the machine that a user can mend: files, disks, networks, memory, in the words of any library."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PLACE = "give a place that can be written to"
_LINKS = "mend the links, which lead round in a circle"
_FEWER_FILES = "raise the limit (ulimit -n) or lower data.num_workers"
_FEWER_PROCESSES = "close other programs, or lower data.num_workers"
_IN_USE = "close what uses it"
_REMOTE = "the disk, or the network to it, went away; run the same command again once it is back"
_NETWORK = "see that the network is there"
FIXES = {
    **dict.fromkeys((errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY), ""),
    **dict.fromkeys((errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP), ""),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "see who owns it, or give another place"),
    errno.EROFS: _PLACE,
    errno.ELOOP: _LINKS,
    errno.ENAMETOOLONG: "give a shorter name",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _FEWER_FILES),
    errno.EAGAIN: _FEWER_PROCESSES,
    **dict.fromkeys((errno.EBUSY, errno.ETXTBSY), _IN_USE),
    errno.ENOLCK: _PLACE,
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENOTCONN, errno.EHOSTDOWN), _REMOTE),
    **dict.fromkeys((errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED), _NETWORK),
    **dict.fromkeys((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN), _NETWORK),
}
"""What to do about an error number. Those that are missing, as EBADF, are bugs of ours."""
_TOO_VAGUE = {errno.EINVAL, errno.EAGAIN, errno.EEXIST, errno.ENODEV, errno.ETIMEDOUT}
"""Their words may stand in a message about anything."""
_WORDS = {os.strerror(number).lower(): number for number in (*NO_SPACE, *FIXES) if number not in _TOO_VAGUE}
_MEMORY = re.compile(r"out of memory|(can't|cannot) allocate|unable to allocate|bad_alloc|_ALLOC_FAILED", re.IGNORECASE)
_AMOUNT = re.compile(r"allocate ([\d.]+ ?(?:bytes|[KMGTP]?i?B))")
_PATH = re.compile(r"""["'<]([^"'<>\n]*/[^"'<>\n]*)["'>]""")
_FAILED_WRITE = re.compile(r"file write failed|iostream error|PytorchStreamWriter failed")
_LOST_WORKER = re.compile(r"DataLoader worker .*(killed by signal|exited unexpectedly)")


@dataclass(frozen=True)
class Trouble:
    """A line for the user; `is_scarcity` where something of the machine ran out, whatever was being done."""

    line: str
    is_scarcity: bool = False


def trouble(error: BaseException, text: str) -> Trouble | None:
    """What the machine refused, if this error is about that.

    Args:
        error: of Python's, or of a library that has only the words of the system.
        text: what it says.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or _MEMORY.search(text):
        return Trouble(_out_of_memory(text), is_scarcity=True)
    number = _number(error, text)
    if number is not None:
        return _of_number(number, error, text)
    if _LOST_WORKER.search(text):
        return Trouble(
            "a process that reads data was killed, as when memory runs out; lower data.num_workers or data.batch_size"
        )
    if _FAILED_WRITE.search(text):
        return Trouble(f"writing failed ({text}); see whether the disk is full", is_scarcity=True)
    if isinstance(error, OSError) and text and (error.errno is None or error.errno < 0):
        return Trouble(text)
    return None


def _number(error: BaseException, text: str) -> int | None:
    own = getattr(error, "errno", None) if isinstance(error, OSError) else None
    if own is not None and own > 0:
        return own if own in FIXES or own in NO_SPACE else None
    found = [(text.lower().find(words), number) for words, number in _WORDS.items() if words in text.lower()]
    return min(found)[1] if found else None


def _of_number(number: int, error: BaseException, text: str) -> Trouble:
    filename = getattr(error, "filename", None)
    quoted = _PATH.search(text)
    path = os.fsdecode(filename) if isinstance(filename, str | bytes) else quoted[1] if quoted else ""
    named = f": {path}" if path else ""
    if number in NO_SPACE and "shared memory" in text:
        return Trouble("no space left in shared memory (/dev/shm); lower data.num_workers", is_scarcity=True)
    said = getattr(error, "strerror", None) or os.strerror(number)
    if number in NO_SPACE:
        return Trouble(f"no space left to write{named}; free some and run the same command again", is_scarcity=True)
    fix = FIXES[number] if said == os.strerror(number) else ""
    line = f"{said[:1].lower()}{said[1:]}{named}"
    return Trouble(f"{line}; {fix}" if fix else line, is_scarcity=number in (errno.EMFILE, errno.ENFILE))


def _out_of_memory(text: str) -> str:
    amount = _AMOUNT.search(text)
    asked = f" ({amount[1]} more were asked for)" if amount else ""
    place = " on the GPU" if "cuda" in text.lower() else ""
    return (
        f"out of memory{place}{asked}; take fewer at a time (data.batch_size in training, batch_size elsewhere), "
        "smaller pictures or a smaller model"
    )
