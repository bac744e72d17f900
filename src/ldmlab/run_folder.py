"""The folder of a run: made before its command begins, and taken back where bad input ends it at once."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from ldmlab.data.folder_lock import NAME as LOCK
from ldmlab.status import NAME as STATUS

RECORD = ("config.yaml", "hydra.yaml", "overrides.yaml")
"""Hydra's names for the config of the command, its own, and what was on the command line."""
Signature = tuple[int, int, int]


@dataclass
class RunFolder:
    """A folder that a run writes to, and what was in it before.

    Hydra overwrites the record of an earlier run in it before the command has looked at its input, and could not say
    afterwards what was the user's.

    Attributes:
        path: the folder.
        record: the folder in it for the config of the run.
        log: the file in it for the run's messages.
        made: the folders that this run made, parents first.
        before: what stood in the folder before, each entry with its time, size and inode.
        earlier: the files of the record as they were.
        told: what an earlier run's status said; None where there was none.
    """

    path: Path
    record: Path
    log: Path
    made: list[Path] = field(default_factory=list)
    before: dict[str, Signature] = field(default_factory=dict)
    earlier: dict[str, bytes] = field(default_factory=dict)
    told: bytes | None = None

    @property
    def replaces(self) -> bool:
        """Whether an earlier run's record is overwritten."""
        return bool(self.earlier)

    @classmethod
    def claim(cls, path: Path, record: str, log: str) -> RunFolder:
        """Make the folder where it is missing, and see that it can be written to.

        Args:
            path: absolute.
            record: name of the folder in it for the config.
            log: name of the file in it for messages.

        Raises:
            ValueError: it is no folder, cannot be written to, or would be written to through a link.
        """
        folder = cls(path, path / record, path / log)
        try:
            folder._make()
            folder.before = _entries(path)
            folder._look()
            folder.earlier = _contents(folder.record)
            folder.told = _contents(path, STATUS).get(STATUS)
            with tempfile.TemporaryFile(dir=path):
                pass
        except (OSError, ValueError) as error:
            folder._remove_made()
            if isinstance(error, ValueError):
                raise
            said = (error.strerror or str(error)).lower()
            raise ValueError(f"output_dir={path}: cannot be written to ({said}); give another folder") from error
        return folder

    @classmethod
    def claim_new(cls, path: Path, record: str, log: str) -> RunFolder:
        """As `claim`, but a folder that nobody else has: under the first of `path`, `path-2`, ... that is free."""
        for number in count(1):
            named = path if number == 1 else path.with_name(f"{path.name}-{number}")
            folder = cls.claim(named, record, log)
            if named in folder.made:
                return folder
        raise AssertionError

    def write_record(self, *texts: str) -> None:
        """Write the config of the run, in the order of `RECORD`, in place of an earlier run's."""
        self.record.mkdir(parents=True, exist_ok=True)
        for name, text in zip(RECORD, texts, strict=True):
            _write(self.record / name, text.encode())

    def take_back(self, with_status: bool = True) -> None:
        """Undo all of this, unless more than the config and the log has been written since (a lock comes and goes).

        Args:
            with_status: also what the run says of itself, which a job of a sweep leaves.
        """
        if not self.path.is_dir() or self._others(_entries(self.path)) != self._others(self.before):
            return
        with suppress(OSError):
            self._put_back_record()
            if with_status:
                self._put_back_status()
        if self.log.name not in self.before:
            _stop_logging_to(self.log)
            self.log.unlink(missing_ok=True)
        self._remove_made()

    def _make(self) -> None:
        missing = [each for each in (self.path, *self.path.parents) if not os.path.lexists(each)]
        for each in reversed(missing):
            with suppress(FileExistsError):  # another run made it just now
                each.mkdir()
                self.made.append(each)

    def _look(self) -> None:
        kinds = {self.record: Path.is_dir, self.log: Path.is_file}
        for path, is_right in (kinds | {self.record / name: Path.is_file for name in RECORD}).items():
            if path.is_symlink() or (path.exists() and not is_right(path)):
                raise ValueError(
                    f"output_dir={self.path}: '{path.relative_to(self.path)}' in it is a link or something else that a "
                    "run did not write, and would be written to; remove it or give another folder"
                )

    def _others(self, entries: Mapping[str, Signature]) -> dict[str, Signature]:
        own = {self.record.relative_to(self.path).parts[0], self.log.name, LOCK, STATUS}
        return {name: signature for name, signature in entries.items() if name not in own}

    def _put_back_record(self) -> None:
        for name in _contents(self.record).keys() - self.earlier.keys():
            (self.record / name).unlink(missing_ok=True)
        for name, content in self.earlier.items():
            _write(self.record / name, content)
        if self.record.name not in self.before:
            self.record.rmdir()

    def _put_back_status(self) -> None:
        if self.told is None:
            (self.path / STATUS).unlink(missing_ok=True)
        else:
            _write(self.path / STATUS, self.told)

    def _remove_made(self) -> None:
        """Folders only, and only while they are empty."""
        with suppress(OSError):
            for each in reversed(self.made):
                each.rmdir()


def _entries(folder: Path) -> dict[str, Signature]:
    with os.scandir(folder) as found:
        stats = {entry.name: entry.stat(follow_symlinks=False) for entry in found}
    return {name: (each.st_mtime_ns, each.st_size, each.st_ino) for name, each in stats.items()}


def _contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """The files in a folder, which are those of a record, or those of a name."""
    found = folder.glob(pattern) if folder.is_dir() else ()
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    return {path.name: path.read_bytes() for path in files}


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _stop_logging_to(log: Path) -> None:
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) == log:
            logging.getLogger().removeHandler(handler)
            handler.close()
