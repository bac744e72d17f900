"""FFmpeg's libraries for SPDL, which takes the system's: here those of PyAV's wheel, with hashes in their names."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

NAME = re.compile(r"(lib(?:av|sw)\w+)-\w+\.so\.(\d+)")


def environment(folder: Path) -> dict[str, str]:
    """What a process is to be started with, so that it finds them; links are made in a folder. Empty without PyAV."""
    found = find_spec("av")
    libraries = Path(found.origin).parents[1] / "av.libs" if found and found.origin else folder
    if not libraries.is_dir() or libraries == folder:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    for path in libraries.iterdir():
        if match := NAME.match(path.name):
            link = folder / f"{match[1]}.so.{match[2]}"
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return {"LD_LIBRARY_PATH": f"{folder.resolve()}:{libraries}"}
