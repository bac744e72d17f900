"""Safetensors files in which no damage goes unseen: the same content gives the same bytes, and these their digest.

The header begins with the SHA-256 of the whole file, taken with zeros in the digest's place. Any reader of safetensors
sees it as one more entry of the metadata.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from safetensors.torch import save
from torch import Tensor

from ldmlab.files import open_regular

DIGEST = "sha256"
_LENGTH = struct.Struct("<Q")
_BEGIN = f'{{"__metadata__":{{"{DIGEST}":"'.encode()
_START = _LENGTH.size + len(_BEGIN)
_ZEROS = b"0" * 64
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Seal:
    """The checksums of a file.

    Attributes:
        sha256: of the whole file, as any other program gives it.
        digest: that of its header, which has been found right; None in a file that has none.
    """

    sha256: str
    digest: str | None


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to an open, empty file.

    Args:
        file: it.
        tensors: contiguous, on the CPU.
        metadata: strings by name; "sha256" is set.
    """
    content = memoryview(save(dict(tensors)))
    [size] = _LENGTH.unpack_from(content)
    payload = content[_LENGTH.size + size :]
    others = {name: value for name, value in sorted(metadata.items()) if name != DIGEST}
    facts = {DIGEST: _ZEROS.decode(), **others}
    entries = json.loads(bytes(content[_LENGTH.size : _LENGTH.size + size]))  # in the order of their bytes
    header = json.dumps({"__metadata__": facts, **entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _LENGTH.size)  # so that the tensors are aligned
    start = bytearray(_LENGTH.pack(len(header)) + header)
    digest = hashlib.sha256(start)
    digest.update(payload)
    start[_START : _START + len(_ZEROS)] = digest.hexdigest().encode()
    file.write(start)
    file.write(payload)


def is_sealed(path: Path) -> bool:
    """Whether a file has a digest in its header."""
    with open_regular(path) as file:
        return file.read(_START)[_LENGTH.size :] == _BEGIN


def check(path: Path, key: str = "ckpt") -> Seal:
    """Read a file from end to end and hold it against the digest in its header, if it has one.

    Args:
        path: it.
        key: the setting that named it, for the message.

    Raises:
        ValueError: the file is not what was written.
    """
    whole, content = hashlib.sha256(), hashlib.sha256()
    with open_regular(path) as file:
        start = file.read(_START + len(_ZEROS))
        whole.update(start)
        content.update(start[:_START] + _ZEROS)
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
            content.update(chunk)
    if start[_LENGTH.size : _START] != _BEGIN:
        return Seal(whole.hexdigest(), None)
    digest = start[_START:].decode(errors="replace")
    if digest != content.hexdigest():
        raise ValueError(
            f"{key}={path}: the file is damaged (its bytes do not have the digest in its header); get it anew"
        )
    return Seal(whole.hexdigest(), digest)
