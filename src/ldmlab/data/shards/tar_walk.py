"""Walk the members of a tar archive that may be damaged.

Python's `tarfile` takes a bad header in mid-archive for the end. Here every 512-byte header is checked against its
checksum, and after a bad one the walk goes on at the next valid one, so that a flipped bit costs one member.
Format: POSIX.1-2001 pax interchange format; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ldmlab.data.problems import Defect
from ldmlab.data.shards.file_view import CHUNK, FileView

BLOCK = 512
RECORD = 20 * BLOCK
"""Writers fill the last record of an archive with zeros."""
MAGIC = b"ustar"
MAGIC_OFFSET = 257
REGULAR = b"0\x007"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, FOLDER = b"L", b"K", b"x", b"g", b"5"
LONGEST = 1 << 20
"""Bytes that are read of a name."""
CUT = bytes(16)
"""What no image, text or json ends with, and a download does that was cut off in a file of its final size."""

Buffer = bytes | FileView


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside the archive: its payload is `size` bytes from byte `offset`; `regular` is False for links."""

    name: str
    offset: int
    size: int
    regular: bool = True


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that could not be read as members: a bad header, zeros, or an archive that ends too early or unmarked."""

    offset: int
    defect: Defect


@dataclass(frozen=True, slots=True)
class Header:
    """What a 512-byte block says of the bytes that follow it."""

    name: str
    size: int
    kind: bytes


def walk(data: Buffer) -> Iterator[Member | Damage]:
    """Yield the members in file order, and a `Damage` where some may have been lost. Folders are passed over."""
    start, position, name, size = 0, 0, None, None
    last: Member | None = None
    ended = False
    while position + BLOCK <= len(data):
        header = parse_header(data[position : position + BLOCK])
        if header is None:
            following = _next_header(data, position + BLOCK)
            yield from _before_gap(data, last, position)
            damage = _gap(data, start, position, following)
            if damage is not None:
                yield damage
            else:
                start = following  # of the next archive, where several were joined
            ended = not any(data[following - BLOCK : following])
            position, name, size, last = following, None, None, None
            continue
        payload, length = position + BLOCK, header.size if size is None else size
        position = payload + -(-length // BLOCK) * BLOCK
        if last is not None:
            yield last
        last, ended = None, False
        if payload + length > len(data):
            position, name, size = _next_header(data, payload), None, None
            if position == len(data):
                yield Damage(len(data), Defect.TRUNCATED_SHARD)
                return
            yield Damage(payload, Defect.DAMAGED_HEADER)
            continue
        if header.kind == LONG_NAME:
            name = name_of(data[payload : payload + min(length, LONGEST)])
        elif header.kind == PAX:
            try:
                name, size = parse_pax(data[payload : payload + min(length, LONGEST)])
            except ValueError:
                yield Damage(payload, Defect.DAMAGED_HEADER)
                name = ""
        elif header.kind not in (LONG_LINK, PAX_GLOBAL):
            if header.kind != FOLDER:
                last = Member(header.name if name is None else name, payload, length, header.kind in REGULAR)
            name, size = None, None
    if last is not None:
        yield last
    if any(data[position:]):
        yield Damage(len(data), Defect.TRUNCATED_SHARD)
    elif position and not ended:
        yield Damage(len(data), Defect.NO_END_MARK)


def _before_gap(data: Buffer, last: Member | None, position: int) -> Iterator[Member | Damage]:
    """Yield the member before bytes that are no header, unless it ends in zeros as they begin."""
    if last is None:
        return
    end = last.offset + last.size
    if last.size >= len(CUT) and data[end - len(CUT) : end] == CUT and not any(data[position : position + BLOCK]):
        yield Damage(last.offset, Defect.ZEROS)
    else:
        yield last


def _gap(data: Buffer, start: int, position: int, following: int) -> Damage | None:
    """What is wrong with the bytes from `position` to the next header, of an archive that began at `start`.

    Nothing, if they are the zeros that end an archive: two blocks, and what fills the record.
    """
    if not _all_zero(data, position, following):
        return Damage(position, Defect.DAMAGED_HEADER)
    whole = start + -(-(position - start + 2 * BLOCK) // RECORD) * RECORD
    return Damage(position, Defect.ZEROS) if following > whole else None


def _all_zero(data: Buffer, start: int, stop: int) -> bool:
    parts = (data[at : min(at + CHUNK, stop)] for at in range(start, stop, CHUNK))
    return all(part.count(0) == len(part) for part in parts)


def parse_header(block: bytes) -> Header | None:
    """Return the header, or None where the checksum or a number is wrong (also for a block of zeros)."""
    checksum, size = _number(block[148:156]), _number(block[124:136])
    if checksum is None or size is None or size < 0:
        return None
    if checksum != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        return None
    name = name_of(block[:100])
    if block[257:263] == MAGIC + b"\0" and block[345]:
        name = f"{name_of(block[345:500])}/{name}"
    return Header(name, size, block[156:157])


def _next_header(data: Buffer, start: int) -> int:
    """Return the offset of the first valid header at or after `start`, a block's begin, or the end of the data."""
    for base in range(start, len(data), CHUNK):
        chunk = data[base : base + CHUNK]
        found = chunk.find(MAGIC, MAGIC_OFFSET)
        while found != -1:
            offset = found - MAGIC_OFFSET
            if offset % BLOCK == 0 and parse_header(chunk[offset : offset + BLOCK]) is not None:
                return base + offset
            found = chunk.find(MAGIC, found + 1)
    return len(data)


def _number(field: bytes) -> int | None:
    """Read an octal number, or a base-256 one (GNU, for files over 8 GiB)."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big", signed=field[0] == 0xFF)
    digits = field.split(b"\0", 1)[0].strip()
    if not digits or not set(digits) <= set(b"01234567"):
        return None
    return int(digits, 8)


def parse_pax(payload: bytes) -> tuple[str | None, int | None]:
    """Return (path, size) of pax records "LENGTH KEY=VALUE\\n"; ValueError where they are malformed."""
    records, start = {}, 0
    payload = payload.rstrip(b"\0")
    while start < len(payload):
        space = payload.index(b" ", start, start + 20)
        end = start + int(payload[start:space])
        record = payload[space + 1 : end]
        if end > len(payload) or not record.endswith(b"\n") or b"=" not in record:
            raise ValueError("a pax record does not end where its length says")
        key, value = record[:-1].split(b"=", 1)
        records[key] = value
        start = end
    size = int(records[b"size"]) if b"size" in records else None
    if size is not None and size < 0:
        raise ValueError("a pax size is negative")
    return (name_of(records[b"path"]) if b"path" in records else None), size


def name_of(field: bytes) -> str:
    """Decode up to the first NUL; bytes that are not utf-8 stay visible as backslash escapes."""
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
