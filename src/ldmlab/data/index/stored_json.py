"""What is stored beside columns as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ldmlab.atomic import atomic_file
from ldmlab.files import open_regular


def store_json(path: Path, content: Any) -> None:
    """Write plain JSON in ASCII, atomically: names of files and keys may be no UTF-8. OSError where that fails."""
    with atomic_file(path) as file:
        file.write(json.dumps(content).encode())


def read_json(path: Path, most: int) -> Any:
    """Read a file that may be long, and take no more memory than it has.

    Args:
        path: of the file.
        most: bytes.

    Raises:
        OSError: there is none.
        ValueError: it is longer, or no JSON.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"{path} is longer than {most:,} bytes")
        try:
            return json.loads(file.read())
        except RecursionError as error:
            raise ValueError(f"{path} is nested too deeply") from error
