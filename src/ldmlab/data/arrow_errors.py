"""What pyarrow raises on damaged files, as one line."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

MOST_WORDS = 300


@contextmanager
def damage_told(where: str) -> Iterator[None]:
    """Raise ValueError where what is read inside the block is damaged; errors of the disk stay what they are.

    Args:
        where: the begin of the line, as "meta.parquet: is no parquet that can be read".
    """
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        words = "".join(c if c.isprintable() else " " for c in str(error))
        raise ValueError(f"{where} ({' '.join(words.split())[:MOST_WORDS]})") from error
