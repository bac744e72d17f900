"""Read byte ranges of many tars from any process."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ShardFiles:
    """Keeps up to `limit` tars of a folder open. Safe to fork (`pread` moves no position) and to pickle."""

    def __init__(self, root: Path, names: Sequence[str], limit: int = 64) -> None:
        self.root = root
        self.names = tuple(names)
        self.limit = limit
        self._handles: OrderedDict[int, int] = OrderedDict()

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Return `size` bytes from byte `offset`, fewer where the file ends before."""
        if shard not in self._handles:
            self._open(shard)
        self._handles.move_to_end(shard)
        return os.pread(self._handles[shard], size, offset)

    def _open(self, shard: int) -> None:
        if len(self._handles) >= self.limit:
            os.close(self._handles.popitem(last=False)[1])
        self._handles[shard] = os.open(self.root / self.names[shard], os.O_RDONLY)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handles": OrderedDict()}

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
