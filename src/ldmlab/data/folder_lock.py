"""One writer a folder, also where several hosts see it."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ldmlab.ranks import slurm_job

log = logging.getLogger(__name__)

NAME = ".lock"
BEGIN = b'{"host": '
"""Of a file that is ours to overwrite and to take away."""
BEAT = 5.0
"""Seconds between two signs of life."""
PATIENCE = 30.0
"""Seconds without one after which a writer is taken for dead."""


@contextmanager
def folder_lock(folder: Path, key: str) -> Iterator[None]:
    """Keep other writers out of a folder.

    The lock is the system's (`flock`), on a file that says who has it; it ends with its process, however that ends.
    Some network file systems keep such locks to one host. So a file that a writer on another host left behind is
    watched for a while: a living writer touches it every few seconds. A job that SLURM has queued again, because a node
    did not answer, waits until its earlier start has ended there.

    Args:
        folder: it; made if need be.
        key: the setting that named it, for the message.

    Raises:
        ValueError: another process writes there, or a file of that name is none of ours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    descriptor = _acquire(path, f"{key}={folder}")
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(descriptor, done), daemon=True)
    try:
        me = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        me |= {"job": slurm_job()}
        _sign(descriptor, me, path)
        beating.start()
        yield
    finally:
        done.set()
        with suppress(OSError):
            if _is_still(path, descriptor):  # nobody has taken it away, and the folder over
                path.unlink()
        os.close(descriptor)


def _sign(descriptor: int, owner: dict[str, Any], path: Path) -> None:
    """Say in the file who has it. OSError, with its path, where there is no room."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _acquire(path: Path, what: str) -> int:
    waits = False
    while True:
        descriptor = _open(path, what)
        try:
            owner, blocks = _look(descriptor, path, what)
            if blocks and not _is_earlier_start(owner):
                raise ValueError(f"{what}: {_told(owner, path)}")
            if not blocks and _is_still(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last writer took it away before it was locked, or is to be waited for
        if blocks and owner is not None and not waits:
            log.warning("%s: waits until %s, an earlier start of this job, has ended", what, _named(owner))
        waits = blocks
        time.sleep(1.0 if blocks else 0.0)


def _look(descriptor: int, path: Path, what: str) -> tuple[dict[str, Any] | None, bool]:
    """Lock the file, and say who had it, and whether that one has it still."""
    content = os.pread(descriptor, 4096, 0)
    if content.strip(b"\0") and not content.startswith(BEGIN):  # zeros are what a lost disk leaves
        raise ValueError(_not_ours(path, what))
    locked, owner = _flock(descriptor), _owner(content)
    blocks = locked is None
    if owner is not None and not blocks and (locked is False or owner["host"] != socket.gethostname()):
        log.warning("%s: watching for %.0f s whether %s still writes there", what, PATIENCE, _named(owner))
        blocks = _is_alive(path)
    return owner, blocks


def _is_earlier_start(owner: dict[str, Any] | None) -> bool:
    """Whether the writer is of the job of this process, which was queued again since."""
    again = os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")
    return again and owner is not None and owner["job"] is not None and owner["job"] == slurm_job()


def _open(path: Path, what: str) -> int:
    """A file is opened, or made. Nothing is written to one that somebody else put there."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(_not_ours(path, what))
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def _not_ours(path: Path, what: str) -> str:
    return f"{what}: {path} is no lock of ldmlab; take it away, or give another folder"


def _flock(descriptor: int) -> bool | None:
    """True with the lock, None where another process has it, False on a file system that has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else False
    return True


def _owner(content: bytes) -> dict[str, Any] | None:
    """Who wrote the file, which may be a stranger's; None for nobody."""
    try:
        owner = json.loads(content)
        host, pid, since = str(owner["host"]), int(owner["pid"]), str(owner["since"])
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return None
    job = owner.get("job")
    return {"host": host, "pid": pid, "since": since, "job": job} if (host + since).isprintable() else None


def _is_alive(path: Path) -> bool:
    """Whether the file is touched while we watch. It is opened anew each time: network file systems look then."""

    def touched() -> int:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns

    with suppress(FileNotFoundError):
        before, deadline = touched(), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(min(1.0, PATIENCE / 10))
            if touched() != before:
                return True
    return False


def _told(owner: dict[str, Any] | None, path: Path) -> str:
    if owner is None:
        return "another process writes there; wait for it, or give another folder"
    return (
        f"{_named(owner)} writes there since {owner['since']}; wait for it, end it, or give another folder (if it is "
        f"gone for certain, remove {path})"
    )


def _named(owner: dict[str, Any]) -> str:
    return f"process {owner['pid']} on {owner['host']}"


def _beat(descriptor: int, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            os.utime(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
