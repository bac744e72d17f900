"""A file system that can be filled: it is mounted for a test, which only root may do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SIZE = 2**23
FILLER = ".filler"


@dataclass(frozen=True)
class SmallDisk:
    """A folder on a disk of eight megabytes."""

    path: Path

    def leave(self, left: int) -> None:
        """Fill the disk but for so many bytes."""
        self.free()
        room = os.statvfs(self.path)
        (self.path / FILLER).write_bytes(bytes(room.f_bavail * room.f_frsize - left))

    def free(self) -> None:
        """Take away what filled it."""
        (self.path / FILLER).unlink(missing_ok=True)

    def half_written(self) -> list[Path]:
        """What should not be left on it."""
        return list(self.path.rglob("*.tmp"))


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mount one at a path. The test is skipped where that is not allowed."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs to mount a file system in memory, as root may")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
