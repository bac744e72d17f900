"""Pictures of the next batch, read while a network looks at those of this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

Read = Callable[[range], dict[str, Any]]
"""The numbers of a batch -> its pictures, and what is known of them."""


@contextmanager
def read_ahead(read: Read, parts: Sequence[range]) -> Iterator[Read]:
    """Inside the block, read batches one ahead, in a thread; two are in memory at most.

    Args:
        read: reads a batch; its errors come when that batch is asked for.
        parts: the batches that will be asked for, in order; another one is read when it is.
    """
    following = {part.start: after for part, after in pairwise(parts)}
    waiting: dict[int, Future[dict[str, Any]]] = {}
    reader = ThreadPoolExecutor(1)

    def take(part: range) -> dict[str, Any]:
        found = waiting.pop(part.start, None) or reader.submit(read, part)
        if (after := following.get(part.start)) is not None:
            waiting[after.start] = reader.submit(read, after)
        return found.result()

    try:
        yield take
    finally:
        reader.shutdown(cancel_futures=True)
