"""Walk the members of a tar archive that may be damaged.

Python's `tarfile` takes a bad header in mid-archive for the end. Here every 512-byte header is checked against its
checksum, and after a bad one the walk goes on at the next valid one, so that a flipped bit costs one member.
Format: POSIX.1-2001 pax interchange format; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 512
MAGIC = b"ustar"
MAGIC_OFFSET = 257
REGULAR = b"0\x007"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, FOLDER = b"L", b"K", b"x", b"g", b"5"

Buffer = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside the archive: its payload is `size` bytes from byte `offset`; `regular` is False for links."""

    name: str
    offset: int
    size: int
    regular: bool = True


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that could not be read as members: a bad header, or (`truncated`) an archive that ends too early."""

    offset: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    size: int
    kind: bytes


def walk(data: Buffer) -> Iterator[Member | Damage]:
    """Yield the members in file order, and a `Damage` where some may have been lost. Folders are passed over."""
    position, name, size = 0, None, None
    while position + BLOCK <= len(data):
        header = _parse_header(data[position : position + BLOCK])
        if header is None:
            following = _next_header(data, position + BLOCK)
            if any(data[position:following]):
                yield Damage(position)
            position, name, size = following, None, None
            continue
        start, length = position + BLOCK, header.size if size is None else size
        position = start + -(-length // BLOCK) * BLOCK
        if start + length > len(data):
            break
        if header.kind == LONG_NAME:
            name = _text(data[start : start + length])
        elif header.kind == PAX:
            try:
                name, size = _parse_pax(data[start : start + length])
            except ValueError:
                yield Damage(start)
                name = ""
        elif header.kind not in (LONG_LINK, PAX_GLOBAL):
            if header.kind != FOLDER:
                yield Member(header.name if name is None else name, start, length, header.kind in REGULAR)
            name, size = None, None
    if any(data[-BLOCK:]):
        yield Damage(len(data), truncated=True)


def _parse_header(block: bytes) -> _Header | None:
    """Return the header, or None where the checksum or a number is wrong (also for a block of zeros)."""
    checksum, size = _number(block[148:156]), _number(block[124:136])
    if checksum is None or size is None or size < 0:
        return None
    if checksum != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        return None
    name = _text(block[:100])
    if block[257:263] == MAGIC + b"\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(name, size, block[156:157])


def _next_header(data: Buffer, start: int) -> int:
    """Return the offset of the first valid header at or after `start`, or the end of the data."""
    found = data.find(MAGIC, start + MAGIC_OFFSET)
    while found != -1:
        offset = found - MAGIC_OFFSET
        if offset % BLOCK == 0 and _parse_header(data[offset : offset + BLOCK]) is not None:
            return offset
        found = data.find(MAGIC, found + 1)
    return len(data)


def _number(field: bytes) -> int | None:
    """Read an octal number, or a base-256 one (GNU, for files over 8 GiB)."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big", signed=field[0] == 0xFF)
    digits = field.split(b"\0", 1)[0].strip()
    if not digits or not set(digits) <= set(b"01234567"):
        return None
    return int(digits, 8)


def _parse_pax(payload: bytes) -> tuple[str | None, int | None]:
    """Return (path, size) of records "LENGTH KEY=VALUE\\n"; ValueError where they are malformed."""
    records = {}
    while payload.rstrip(b"\0"):
        length = int(payload.split(b" ", 1)[0])
        record, payload = payload[:length], payload[length:]
        if not record.endswith(b"\n") or b"=" not in record:
            raise ValueError("a pax record does not end where its length says")
        key, value = record.split(b" ", 1)[1][:-1].split(b"=", 1)
        records[key] = value
    size = int(records[b"size"]) if b"size" in records else None
    if size is not None and size < 0:
        raise ValueError("a pax size is negative")
    return (_text(records[b"path"]) if b"path" in records else None), size


def _text(field: bytes) -> str:
    """Decode up to the first NUL; bytes that are not utf-8 stay visible as backslash escapes."""
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
