"""The members of a tar that is read once from begin to end, with what `ldmlab.data.shards.tar_walk` says of damage."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from ldmlab.data.problems import Defect
from ldmlab.data.shards.tar_walk import (
    BLOCK,
    CUT,
    FOLDER,
    LONG_LINK,
    LONG_NAME,
    LONGEST,
    PAX,
    PAX_GLOBAL,
    RECORD,
    REGULAR,
    Damage,
    Header,
    name_of,
    parse_header,
    parse_pax,
)

PIECE = 1 << 20
PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""How files begin that are compressed as a whole, and what reads them."""


class Readable(Protocol):
    """Gives its bytes once, in their order; fewer than asked for only at its end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""


class StreamMember(NamedTuple):
    """A file of the archive.

    Attributes:
        name: whole.
        payload: its bytes; None for one that is longer than is read.
        regular: False for links.
    """

    name: str
    payload: bytes | None
    regular: bool = True


class Head(NamedTuple):
    """The first bytes of what holds no member at all."""

    content: bytes


def stream_members(stream: Readable, most: int) -> Iterator[StreamMember | Damage | Head]:
    """Yield the members in order, and a `Damage` where some may have been lost; `Head` alone where there is none.

    After a damaged header the next valid one is looked for. Archives that are compressed as a whole are unpacked.

    Args:
        stream: the archive.
        most: bytes of a member; of a longer one none are kept.
    """
    head = stream.read(BLOCK)
    unpack = next((unpack for start, unpack in PACKED.items() if head.startswith(start)), None)
    if unpack is None:
        yield from _Walk(_Rest(head, stream), most).steps()
        return
    unpacked = unpack(io.BufferedReader(_Rest(head, stream)))
    yield from _Walk(_Unpacked(unpacked), most).steps()


class _Rest(io.RawIOBase):
    """A stream with its first bytes put back."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        super().__init__()
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part, self._head = self._head[:size], self._head[size:]
        return part + self._stream.read(size - len(part)) if len(part) < size else part

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


class _Unpacked:
    """A decompressed stream, which ends where it is damaged."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._file.read(size))
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
            return b""


class _Gap:
    """Blocks that are no header, from an offset on."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.is_zero = True
        self.ends_zero = False

    def add(self, block: bytes) -> None:
        self.ends_zero = not any(block)
        self.is_zero &= self.ends_zero

    def damage(self, start: int, stop: int) -> Damage | None:
        """What is wrong with them, up to byte `stop` of an archive that began at `start`; None where they end it."""
        if not self.is_zero:
            return Damage(self.offset, Defect.DAMAGED_HEADER)
        whole = start + -(-(self.offset - start + 2 * BLOCK) // RECORD) * RECORD
        return Damage(self.offset, Defect.ZEROS) if stop > whole else None


class _Walk:
    """A walk through an archive that can only go on, as `tar_walk.walk` goes through one that lies there.

    Args:
        stream: of its bytes.
        most: bytes of a member that are kept.
    """

    def __init__(self, stream: Readable, most: int) -> None:
        self._stream, self._most = stream, most
        self._offset = self._start = 0
        self._gap: _Gap | None = None
        self._last: StreamMember | None = None

    def steps(self) -> Iterator[StreamMember | Damage | Head]:
        """See `stream_members`."""
        head = block = self._stream.read(BLOCK)
        found, name, size = False, None, None
        while len(block) == BLOCK:
            self._offset += BLOCK
            header = parse_header(block)
            if header is None:
                yield from self._outside(block)
                name = size = None
            else:
                yield from self._inside()
                found, length = True, header.size if size is None else size
                payload, is_whole = self._payload(length, self._most_of(header))
                if not is_whole:
                    yield Damage(self._offset, Defect.TRUNCATED_SHARD)
                    return
                if header.kind == LONG_NAME:
                    name = name_of(payload)
                elif header.kind == PAX:
                    try:
                        name, size = parse_pax(payload)
                    except ValueError:
                        yield Damage(self._offset - length, Defect.DAMAGED_HEADER)
                        name = ""
                elif header.kind not in (LONG_LINK, PAX_GLOBAL):
                    if header.kind != FOLDER:
                        kept = None if length > self._most else payload
                        self._last = StreamMember(header.name if name is None else name, kept, header.kind in REGULAR)
                    name = size = None
            block = self._stream.read(BLOCK)
        yield from self._end(block) if found else (Head(head),)

    def _most_of(self, header: Header) -> int:
        return LONGEST if header.kind in (LONG_NAME, PAX) else self._most

    def _outside(self, block: bytes) -> Iterator[StreamMember | Damage]:
        """A block that is no header. A member before it that ends in zeros, as it begins, was never written whole."""
        if self._gap is None:
            self._gap = _Gap(self._offset - BLOCK)
            if (last := self._last) is not None:
                cut = last.payload is not None and last.payload.endswith(CUT) and not any(block)
                yield Damage(self._offset - BLOCK, Defect.ZEROS) if cut else last
                self._last = None
        self._gap.add(block)

    def _inside(self) -> Iterator[StreamMember | Damage]:
        """A header: what came before it is complete."""
        if self._gap is not None:
            damage = self._gap.damage(self._start, self._offset - BLOCK)
            if damage is not None:
                yield damage
            else:
                self._start = self._offset - BLOCK  # of the next archive, where several were joined
        elif self._last is not None:
            yield self._last
        self._gap = self._last = None

    def _payload(self, length: int, most: int) -> tuple[bytes, bool]:
        """The first bytes of what a header says, past all of which the stream is then, and whether it had them all."""
        padded = -(-length // BLOCK) * BLOCK
        kept = self._stream.read(padded) if length <= most else self._stream.read(min(padded, LONGEST))
        read = len(kept)
        while read < padded and (part := self._stream.read(min(PIECE, padded - read))):
            read += len(part)
        self._offset += read
        return kept[:length], read >= length

    def _end(self, rest: bytes) -> Iterator[StreamMember | Damage]:
        if self._last is not None:
            yield self._last
        if self._gap is not None and (damage := self._gap.damage(self._start, self._offset)) is not None:
            yield damage
        if any(rest):
            yield Damage(self._offset + len(rest), Defect.TRUNCATED_SHARD)
        elif self._gap is None or not self._gap.ends_zero:
            yield Damage(self._offset + len(rest), Defect.NO_END_MARK)
