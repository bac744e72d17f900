"""PNG files without what stands beside their pixels: a damaged text or profile says nothing against those.

Format: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", section 5.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
ORIENTATION = b"eXIf"


def pixels_alone(payload: bytes) -> bytes | None:
    """Return the file with the chunks that its pixels are made of, and a whole eXIf; None if it is no PNG.

    Nothing of the pixels is mended: what is cut off stays so.
    """
    if not payload.startswith(SIGNATURE):
        return None
    parts, start = [SIGNATURE], len(SIGNATURE)
    while start + 12 <= len(payload):
        length, kind = struct.unpack_from(">I4s", payload, start)
        end = start + 12 + length
        whole = payload[start + 4 : end - 4], payload[end - 4 : end]
        if kind in PIXELS or (kind == ORIENTATION and struct.pack(">I", zlib.crc32(whole[0])) == whole[1]):
            parts.append(payload[start:end])
        start = end
    return b"".join(parts)
