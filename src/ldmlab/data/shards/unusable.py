"""What a file is that should be a shard, and cannot be read as one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shards.file_view import CHUNK, FileView
from ldmlab.files import kind_of

STARTS = {
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ\x00": "compressed by xz: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"PK\x03\x04": "a zip archive: unpack it, and pack it as tar",
    b"version ": "a pointer of Git LFS: fetch the file with `git lfs pull`",
    b"<": "a web page, such as a download that was refused: fetch it again",
}


def what_else(data: FileView | bytes, shard: str) -> Problem:
    """What a file is that holds no member of a tar."""
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not data[:CHUNK].strip(b"\0"):
        return Problem(Defect.EMPTY_SHARD, shard, detail=f"{len(data):,} bytes" + (", all zero" if len(data) else ""))
    what = next((what for start, what in STARTS.items() if head.startswith(start)), "it has no tar header")
    return Problem(Defect.NO_ARCHIVE, shard, detail=what)


def why_unreadable(error: OSError, path: Path) -> str:
    """Why a file cannot be read, in a few words."""
    with suppress(OSError):
        if (kind := kind_of(path)) is not None:
            return kind
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return "a link to nothing"
    return (error.strerror or str(error)).lower()
