"""Opens a shard to be read from its begin to its end, wherever it is."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlparse

from ldmlab.data.streams.urls import local_path
from ldmlab.data.streams.webdataset_urls import opener_of_urls
from ldmlab.files import open_regular

CURL = {
    6: "no such host",
    7: "no connection",
    22: "refused by its server, as missing files are",
    28: "no answer in time",
}
"""What curl's exit codes mean."""
LASTING = (22, 126, 127)
"""Exit codes of what will not mend: of curl for a missing file, of a shell for a missing program."""
PORTS = {"http": 80, "https": 443}
PATIENCE = 10.0
"""Seconds to wait for a server's first answer."""


class BrokenShardError(Exception):
    """A shard that cannot be read, or not on.

    Args:
        reason: in a few words.
        may_mend: whether another try could go better.
    """

    def __init__(self, reason: str, may_mend: bool) -> None:
        super().__init__(reason)
        self.may_mend = may_mend


class Stream:
    """The bytes of a shard, once, in their order.

    Args:
        file: what webdataset has opened, or a file.
        name: of the program that is read, for messages.
    """

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

    def read(self, size: int) -> bytes:
        """Return the next bytes: fewer only at the end.

        Raises:
            BrokenShardError: that was not the end, but whatever gave the bytes has failed.
        """
        try:
            part: bytes = self._file.read(size)
            if len(part) < size:
                self._file.close()  # says whether a program has ended well
        except OSError as error:
            raise self._broken(error) from error
        except ValueError:  # read on after its end
            return b""
        return part

    def _broken(self, error: OSError) -> BrokenShardError:
        status = re.search(r": exit (-?\d+) \(read\)", str(error))
        if status is None:
            return BrokenShardError((error.strerror or str(error)).lower(), True)
        code = int(status[1])
        meaning = CURL.get(code) if self._name == "curl" else None
        return BrokenShardError(meaning or f"{self._name} ended with exit code {code}", code not in LASTING)


@contextmanager
def opened(url: str, secure: bool) -> Iterator[Stream]:
    """Open a shard inside the block: files by ourselves, all else through webdataset.

    Raises:
        BrokenShardError: it cannot be opened.
    """
    path = local_path(url)
    try:
        file = open_regular(path) if path is not None else opener_of_urls(secure).gopen(url)
    except Exception as error:  # programs that are not there, and whatever a store's own client raises
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise BrokenShardError(reason, False) from error
    try:
        yield Stream(file, "the command" if url.startswith("pipe:") else _program(file))
    finally:
        _end(file)


def require_answer(url: str, key: str) -> None:
    """Ask whether the server of a web address answers at all: curl would try for a quarter of an hour.

    Raises:
        ValueError: it does not.
    """
    address = urlparse(url)
    port = PORTS.get(address.scheme.lower())
    if port is None or not address.hostname or _has_proxy(address.scheme.lower()):
        return
    try:
        socket.create_connection((address.hostname, address.port or port), PATIENCE).close()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ValueError(f"{key}={url}: does not answer ({reason}); see that the address is right") from error


def _has_proxy(scheme: str) -> bool:
    from urllib.request import getproxies

    return not {scheme, "all"}.isdisjoint(getproxies())


def _program(file: Any) -> str:
    command = getattr(getattr(file, "proc", None), "args", None)
    return str(command[0]) if isinstance(command, list) else "the program"


def _end(file: Any) -> None:
    """Close it, and end the program that writes it: it may have more to say than anybody reads."""
    process = getattr(file, "proc", None)
    if process is not None and process.poll() is None:
        process.kill()
    with suppress(OSError):
        file.close()
