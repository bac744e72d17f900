"""img2dataset as a process of its own, from an environment of its own: its packages do not fit beside ldmlab's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ldmlab.data.shards.shard_scan import MAX_PIXELS

BESIDE = ".venv-laion"
"""The environment that `make laion` builds, beside the one that ldmlab is in."""
PATIENCE = 10.0
"""Seconds that it is given to end in good order."""
MOST_LOG_BYTES = 2**18
_ENDS_WITH_US = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -9 0) & exec 3<&-; exec "$@"'
"""A shell that becomes the program; beside it waits another for the end of this process, and ends the whole group."""
_ERROR = re.compile(r"^(\w*(Error|Exception|Interrupt)\b.*|ERROR:.*|shard \d+ failed with error .*)$", re.MULTILINE)


def find_program(name: str) -> str:
    """The path of a program on PATH, else in `BESIDE`.

    Raises:
        ValueError: it is nowhere; how to come by it.
    """
    beside = Path(sys.prefix).parent / BESIDE / "bin"
    found = shutil.which(name) or shutil.which(name, path=str(beside))
    if found is None:
        raise ValueError(
            f"dataset.program={name}: there is no such program on PATH; `make laion` installs img2dataset into"
            f" {BESIDE}, an environment of its own, where it is found, or give the path of one that you have installed"
        )
    return os.path.abspath(found)


def command_line(program: str, options: Mapping[str, Any]) -> list[str]:
    """A program's words; values are written as Python's own, which is how its library reads them."""
    return [program, *(f"--{name}={value!r}" for name, value in options.items())]


def run_program(words: list[str], log: Path, watch: Callable[[], object], every: float = 1.0) -> int:
    """Run a program in a group of its own until it ends, and return its code.

    Ctrl-C, or whatever else is raised meanwhile, ends it in good order, or, after some seconds, at once. It does not
    outlive this process, however that ends.

    Args:
        words: of the command line.
        log: a file for what it prints; another one of that name is replaced.
        watch: is called every so often.
        every: seconds.
    """
    log.unlink(missing_ok=True)
    with (
        log.open("xb") as output,
        subprocess.Popen(
            ["/bin/sh", "-c", _ENDS_WITH_US, "sh", *words],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(every)
                watch()
        except BaseException:
            _end(process)
            raise
        finally:
            _kill_group(process)
    return process.returncode


def last_words(log: Path) -> str:
    """The last error that a program's log tells of, else its last line, in one printable line."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_LOG_BYTES))
        text = file.read().decode(errors="replace")
    lines = [each[0] for each in _ERROR.findall(text)] or text.split("\n")
    line = next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
    return "".join(c if c.isprintable() else " " for c in line)[:300]


def _environment() -> dict[str, str]:
    """Without the paths of this Python; pictures larger than what is read later are refused before they are decoded."""
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return ours | {
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
        "PYTHONUNBUFFERED": "1",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
