"""Archives of PyTorch that ask for more than they hold, or that end the process: refused before they are read."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from ldmlab.torch_file import read_torch, require_tensors

DEEP = 1_000_000


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def call(function: str, arguments: bytes) -> bytes:
    return f"c{function}\n".encode().replace(b" ", b"\n") + b"(" + arguments + b"tR"


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def tensor(key: bytes) -> bytes:
    """Two floats out of the record of that name."""
    storage = b"(" + word("storage") + b"ctorch\nFloatStorage\n" + key + word("cpu") + number(2) + b"tQ"
    return call("torch._utils _rebuild_tensor_v2", storage + number(0) + number(2) + b"\x85" + number(1) + b"\x85\x89}")


def state(*tensors: bytes) -> bytes:
    return b"}(" + b"".join(word(str(place)) + each for place, each in enumerate(tensors)) + b"u"


def archive(path: Path, pickled: bytes, names: tuple[str, ...] = ("0",)) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02" + pickled + b".")
        file.writestr("a/version", "3")
        for name in names:
            file.writestr(f"a/data/{name}", bytes(8))
    return path


def test_the_archive_that_is_changed_below_is_good(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.ckpt", state(tensor(word("0")), tensor(word("1"))), ("0", "1"))
    read = require_tensors(read_torch(path), path)
    assert [each.tolist() for each in read.values()] == [[0.0, 0.0]] * 2


@pytest.mark.parametrize(
    ("pickled", "told"),
    [
        (call("builtins bytearray", number(10**8)), r"it calls builtins\.bytearray"),
        (b"](" + call("__builtin__ bytearray", number(10**8)) * 100 + b"e", r"it calls __builtin__\.bytearray"),
        (call("_codecs encode", word("a") + word("utf-32")), r"it calls _codecs\.encode"),
        (b"})" + b"\x85" * DEEP + b"Ns", "nested more than 100 deep"),
        (b"})" + b"q\x01\x85" * DEEP + b"Ns", "nested more than 100 deep"),
        (b"})" + b"q\x010h\x01h\x01\x86" * DEEP + b"Ns", "nested more than 100 deep"),
        (state(tensor(tensor(word("0")))), "otherwise than by name"),
        (b"h\x05", "it takes what it never made"),
        (b"t", "it takes what it never made"),
        (b"s", "it takes what it never made"),
        (b"\xff", "opcode"),
    ],
    ids=range(11),
)
def test_a_pickle_that_builds_more_than_it_holds_is_refused_unread(pickled: bytes, told: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.ckpt", pickled)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"^ckpt={path}: refused, because its pickle is not plain data .*{told}"):
        read_torch(path)
    assert tracemalloc.get_traced_memory()[1] < 10**7 + 4 * path.stat().st_size
    tracemalloc.stop()


def test_a_record_has_one_name(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.ckpt", state(*(tensor(word(name)) for name in ("aa", "aA", "Aa", "AA"))), ("aa",))
    with pytest.raises(ValueError, match="calls a tensor 'aa', which PyTorch never does"):
        read_torch(path)


def test_the_parts_of_an_archive_do_not_overlap(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.ones(1000)}, path)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"/data/0"))
    struct.pack_into("<II", content, entry + 20, len(content), len(content))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"ckpt={path}: has '.*' where other parts are"):
        read_torch(path)
