"""Read byte ranges of many tars from any process."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ldmlab.files import open_regular

OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Troubles that are the machine's, whatever is read."""


class ShardFiles:
    """Keeps up to `limit` tars of a folder open. Safe to fork (`pread` moves no position) and to pickle.

    Args:
        root: the folder.
        names: of its tars.
        facts: bytes and time (ns) of each tar; one that is not so any more is refused. Not checked if not given.
        limit: most tars that are open at once.
    """

    def __init__(
        self, root: Path, names: Sequence[str], facts: Sequence[tuple[int, int]] | None = None, limit: int = 64
    ) -> None:
        self.root = root
        self.names = tuple(names)
        self.facts = facts
        self.limit = limit
        self._handles: OrderedDict[int, int] = OrderedDict()

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Return `size` bytes from byte `offset`, fewer where the file ends before.

        Raises:
            ValueError: naming the shard, which was removed, changed or lost since it was indexed.
            OSError: the process has too many files open.
        """
        try:
            if shard not in self._handles:
                self._open(shard)
            self._handles.move_to_end(shard)
            handle = self._handles[shard]
            payload = os.pread(handle, size, offset)
            if self.facts is not None:
                status = os.fstat(handle)
                if (status.st_size, status.st_mtime_ns) != self.facts[shard]:
                    raise ValueError(self._lost(shard, "was changed while it was in use"))
        except FileNotFoundError as error:
            raise ValueError(self._lost(shard, "was removed while it was in use")) from error
        except OSError as error:
            if error.errno in OURS:
                raise
            why = (error.strerror or str(error)).lower()
            raise ValueError(self._lost(shard, f"cannot be read any more ({why})")) from error
        return payload

    def _lost(self, shard: int, what: str) -> str:
        return f"shard {self.root / self.names[shard]} {what}: put it back as it was, then go on with the run"

    def _open(self, shard: int) -> None:
        if len(self._handles) >= self.limit:
            os.close(self._handles.popitem(last=False)[1])
        with open_regular(self.root / self.names[shard]) as file:
            self._handles[shard] = os.dup(file.fileno())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handles": OrderedDict()}

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
