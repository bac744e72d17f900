from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ldmlab.tensor_file import check, is_sealed, write_tensors

TENSORS = {
    "b": torch.arange(3.0),
    "a": torch.ones(5, dtype=torch.float16),
    "n": torch.tensor(7),
    "é": torch.zeros(0, 2),
}
METADATA = {"format": "pt", "told": 'with "quotes", "sha256":"' + "0" * 64}


def written(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    file = io.BytesIO()
    write_tensors(file, tensors, metadata)
    return file.getvalue()


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(written(TENSORS, METADATA))
    return path


def test_any_reader_of_safetensors_reads_it(sealed: Path) -> None:
    read = load_file(sealed)
    assert set(read) == set(TENSORS)
    assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in TENSORS.items())
    with safe_open(sealed, "pt") as stored:
        assert {**METADATA, "sha256": check(sealed).digest} == stored.metadata()


def test_the_same_content_gives_the_same_bytes(sealed: Path) -> None:
    turned = dict(reversed(TENSORS.items())), dict(reversed(METADATA.items()))
    assert written(*turned) == sealed.read_bytes()
    assert written({**TENSORS, "n": torch.tensor(8)}, METADATA) != sealed.read_bytes()


def test_the_tensors_are_aligned(sealed: Path) -> None:
    for length in range(9):
        content = written(TENSORS, {"x": "y" * length})
        [size] = struct.unpack_from("<Q", content)
        assert size % 8 == 0
        json.loads(content[8 : 8 + size])


def test_no_flipped_bit_goes_unseen(sealed: Path) -> None:
    """Every bit of the file. Those of the entry's own name hide the digest, which whoever wrote it then misses."""
    content = sealed.read_bytes()
    name = range(8, content.index(check(sealed).digest.encode()))  # type: ignore[union-attr]
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        sealed.write_bytes(damaged)
        if place // 8 in name:
            assert not is_sealed(sealed)
        else:
            with pytest.raises(ValueError, match=f"ckpt={sealed}: the file is damaged"):
                check(sealed)


def test_many_flipped_bits_a_cut_and_more_bytes_are_seen(sealed: Path) -> None:
    content, rng = sealed.read_bytes(), random.Random(0)
    for damaged in (content[:-1], content + b"\0", rng.randbytes(len(content) - 400).join([content[:400], b""])):
        sealed.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            check(sealed)


def test_a_file_without_a_digest_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for content in (b"", b"short"):
        path.write_bytes(content)
        assert check(path).digest is None
    save_file(TENSORS, path, METADATA)
    assert not is_sealed(path)
    assert check(path).digest is None
