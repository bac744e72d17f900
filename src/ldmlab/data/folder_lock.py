"""One writer a folder, also where several hosts see it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAME = ".lock"
BEAT = 5.0
"""Seconds between two signs of life."""
PATIENCE = 30.0
"""Seconds without one after which a writer is taken for dead."""


@contextmanager
def folder_lock(folder: Path, key: str) -> Iterator[None]:
    """Keep other writers out of a folder.

    The lock is the system's (`flock`), on a file that says who has it; it ends with its process, however that ends.
    Some network file systems keep such locks to one host. So a file that a writer on another host left behind is
    watched for a while: a living writer touches it every few seconds.

    Args:
        folder: it; made if need be.
        key: the setting that named it, for the message.

    Raises:
        ValueError: another process writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    descriptor = _acquire(path, f"{key}={folder}")
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(descriptor, done), daemon=True)
    try:
        me = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(me).encode(), 0)
        beating.start()
        yield
    finally:
        done.set()
        with suppress(OSError):
            if _is_still(path, descriptor):  # nobody has taken it away, and the folder over
                path.unlink()
        os.close(descriptor)


def _acquire(path: Path, what: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            locked, owner = _flock(descriptor), _owner(descriptor)
            foreign = owner is not None and (locked is False or owner["host"] != socket.gethostname())
            if locked is None or (foreign and _is_alive(path)):
                raise ValueError(f"{what}: {_told(owner, path)}")
            if _is_still(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last writer took it away before it was locked


def _flock(descriptor: int) -> bool | None:
    """True with the lock, None where another process has it, False on a file system that has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else False
    return True


def _owner(descriptor: int) -> dict[str, Any] | None:
    """Who wrote the file; None for nobody."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return {"host": str(owner["host"]), "pid": int(owner["pid"]), "since": str(owner["since"])}
    except (ValueError, KeyError, TypeError):
        return None


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
        f"process {owner['pid']} on {owner['host']} writes there since {owner['since']}; wait for it, end it, or "
        f"give another folder (if it is gone for certain, remove {path})"
    )


def _beat(descriptor: int, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            os.utime(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
