import tarfile

import pytest

from ldmlab.data.tar_walk import Damage, Member, walk

NAMES = ["a.txt", "folder/b.txt", "x" * 150 + "/c.txt", "y" * 90 + "/" + "z" * 90 + ".txt", "mit-Umlaut-ä.txt"]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_agrees_with_tarfile(tmp_path, write_tar, tar_format):
    names = [name for name in NAMES if tar_format != tarfile.USTAR_FORMAT or len(name) < 150]
    payloads = [bytes([65 + n]) * (511 * n) for n in range(len(names))]
    path = write_tar(tmp_path / "t.tar", zip(names, payloads, strict=True), tar_format)
    data = path.read_bytes()
    found = list(walk(data))
    with tarfile.open(path) as archive:
        assert found == [Member(m.name, m.offset_data, m.size) for m in archive.getmembers()]
    assert [data[m.offset : m.offset + m.size] for m in found] == payloads


def test_folders_are_passed_over_and_links_are_not_regular(tmp_path):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
            info = tarfile.TarInfo("name")
            info.type = kind
            archive.addfile(info)
    assert [(m.name, m.regular) for m in walk(path.read_bytes())] == [("name", False)]


def test_base_256_size_and_pax_size(tmp_path, write_tar):
    header = bytearray(write_tar(tmp_path / "t.tar", [("a.txt", b"hello")]).read_bytes())
    header[124:136] = b"\x80" + (5).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
    assert list(walk(bytes(header))) == [Member("a.txt", 512, 5)]


def test_concatenated_archives_are_one(tmp_path, write_tar):
    data = b"".join(write_tar(tmp_path / f"{n}.tar", [(f"{n}.txt", b"x")]).read_bytes() for n in "ab")
    assert [item.name for item in walk(data)] == ["a.txt", "b.txt"]


def test_long_name_is_not_given_to_the_member_after_a_damage(tmp_path, write_tar):
    members = [("l" * 120 + ".txt", b"one"), ("short.txt", b"two")]
    data = bytearray(write_tar(tmp_path / "t.tar", members).read_bytes())
    data[1024 + 130] ^= 1  # the real header behind the long name
    assert list(walk(bytes(data))) == [Damage(1024), Member("short.txt", 2560, 3)]


def test_damaged_pax_record_loses_its_member_only(tmp_path, write_tar):
    members = [("p" * 120 + ".txt", b"one"), ("short.txt", b"two")]
    data = bytearray(write_tar(tmp_path / "t.tar", members, tarfile.PAX_FORMAT).read_bytes())
    data[512] = ord("x")  # the record's length
    found = list(walk(bytes(data)))
    assert [type(item) for item in found] == [Damage, Member, Member]
    assert [item.name for item in found[1:]] == ["", "short.txt"]


def test_walk_goes_on_at_block_boundaries_only(tmp_path, write_tar):
    inner = write_tar(tmp_path / "inner.tar", [("inner.txt", b"x")]).read_bytes()
    data = bytearray(write_tar(tmp_path / "t.tar", [("a.bin", b"shift" + inner), ("b.txt", b"y")]).read_bytes())
    data[3] ^= 1
    assert [item.name for item in walk(bytes(data)) if isinstance(item, Member)] == ["b.txt"]


@pytest.mark.parametrize("data", [b"", bytes(10240)], ids=["no bytes", "zeros"])
def test_nothing_is_no_damage(data):
    assert list(walk(data)) == []


def test_garbage_is_damage():
    garbage = bytes(range(1, 256)) * 41
    assert list(walk(garbage)) == [Damage(0), Damage(len(garbage), truncated=True)]


def test_every_cut_keeps_the_whole_members_before_it(tmp_path, write_tar):
    data = write_tar(tmp_path / "t.tar", [(f"{n}.txt", bytes([65 + n]) * 700) for n in range(3)]).read_bytes()
    whole = list(walk(data))
    content = whole[-1].offset + 1024
    for cut in range(1, len(data), 61):
        found = list(walk(data[:cut]))
        kept = [m for m in whole if m.offset + m.size <= cut]
        assert [item for item in found if isinstance(item, Member)] == kept
        if cut <= content - (1024 - 700):
            assert found[-1] == Damage(cut, truncated=True)
