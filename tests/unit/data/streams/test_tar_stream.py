"""A tar that is read once says what one that lies there says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.data.problems import Defect
from ldmlab.data.shards.tar_walk import Damage, Member, walk
from ldmlab.data.streams.tar_stream import Head, StreamMember, stream_members

NAMES = ["a.txt", "folder/b.txt", "x" * 150 + "/c.txt", "mit-Umlaut-ä.txt"]
MOST = 10**6
WriteTar = Callable[..., Path]


def streamed(data: bytes, most: int = MOST) -> list[StreamMember | Damage | Head]:
    return list(stream_members(io.BytesIO(data), most))


def same(data: bytes) -> None:
    """The walk over what lies there finds the same members and damages, places of damage aside."""
    lying = list(walk(data))
    found = streamed(data)
    assert [item.defect for item in found if isinstance(item, Damage)] == [
        item.defect for item in lying if isinstance(item, Damage)
    ]
    assert [(m.name, m.payload, m.regular) for m in found if isinstance(m, StreamMember)] == [
        (m.name, data[m.offset : m.offset + m.size], m.regular) for m in lying if isinstance(m, Member)
    ]


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_whole_archives(tmp_path: Path, write_tar: WriteTar, tar_format: int) -> None:
    members = [(name, bytes([65 + n]) * (511 * n)) for n, name in enumerate(NAMES)]
    data = write_tar(tmp_path / "t.tar", members, tar_format).read_bytes()
    assert [(m.name, m.payload) for m in streamed(data)] == members  # type: ignore[union-attr]
    same(data)
    same(data + data)


def test_damage_costs_what_it_costs_in_a_file(tmp_path: Path, write_tar: WriteTar) -> None:
    """Flipped bits, cut ends and stretches of zeros, wherever they are."""
    members = [(f"{'l' * 120 if n % 3 == 0 else 's'}{n}.txt", bytes([65 + n]) * (300 * n)) for n in range(8)]
    data = write_tar(tmp_path / "t.tar", members, tarfile.PAX_FORMAT).read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        spoiled = bytearray(data)
        place = rng.randrange(len(data))
        kind = rng.choice(["bit", "cut", "zeros"])
        if kind == "bit":
            spoiled[place] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del spoiled[place:]
        else:
            spoiled[place : place + 3000] = bytes(len(spoiled[place : place + 3000]))
        lying = list(walk(bytes(spoiled)))
        if any(isinstance(item, Member) for item in lying) and not _seeks_back(lying):
            same(bytes(spoiled))


def _seeks_back(lying: list[Member | Damage]) -> bool:
    """Whether a header promised more than there is, behind which one that lies there is searched again."""
    return any(isinstance(item, Damage) and item.defect is Defect.DAMAGED_HEADER for item in lying[-2:])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_archives_are_unpacked(tmp_path: Path, write_tar: WriteTar, pack: Callable[[bytes], bytes]) -> None:
    data = write_tar(tmp_path / "t.tar", [("a.txt", b"one"), ("b.txt", random.Random(0).randbytes(5000))]).read_bytes()
    assert streamed(pack(data)) == streamed(data)


def test_a_packed_archive_that_is_cut_off_is_truncated(tmp_path: Path, write_tar: WriteTar) -> None:
    data = write_tar(
        tmp_path / "t.tar", [("a.txt", b"one"), ("b.txt", random.Random(0).randbytes(90_000))]
    ).read_bytes()
    found = streamed(gzip.compress(data)[:-20_000])
    assert found[0] == StreamMember("a.txt", b"one")
    assert isinstance(found[-1], Damage)
    assert found[-1].defect is Defect.TRUNCATED_SHARD


def test_what_is_no_archive_is_shown() -> None:
    assert streamed(b"<html>") == [Head(b"<html>")]
    assert streamed(b"") == [Head(b"")]


def test_a_member_that_is_too_long_is_not_kept(tmp_path: Path, write_tar: WriteTar) -> None:
    data = write_tar(tmp_path / "t.tar", [("a.txt", b"a" * 5000), ("b.txt", b"b")]).read_bytes()
    assert streamed(data, most=4999) == [StreamMember("a.txt", None), StreamMember("b.txt", b"b")]
