import tarfile
import time

import pytest

from ldmlab.data.problems import Defect
from ldmlab.data.shards.file_view import FileView
from ldmlab.data.shards.tar_walk import BLOCK, RECORD, Damage, Member, walk

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
    del header[1024:]
    assert list(walk(bytes(header))) == [Member("a.txt", 512, 5), Damage(1024, Defect.NO_END_MARK)]


def test_concatenated_archives_are_one(tmp_path, write_tar):
    data = b"".join(write_tar(tmp_path / f"{n}.tar", [(f"{n}.txt", b"x")]).read_bytes() for n in "ab")
    assert [item.name for item in walk(data)] == ["a.txt", "b.txt"]


def test_long_name_is_not_given_to_the_member_after_a_damage(tmp_path, write_tar):
    members = [("l" * 120 + ".txt", b"one"), ("short.txt", b"two")]
    data = bytearray(write_tar(tmp_path / "t.tar", members).read_bytes())
    data[1024 + 130] ^= 1  # the real header behind the long name
    assert list(walk(bytes(data))) == [Damage(1024, Defect.DAMAGED_HEADER), Member("short.txt", 2560, 3)]


def test_damaged_pax_record_loses_its_member_only(tmp_path, write_tar):
    members = [("p" * 120 + ".txt", b"one"), ("short.txt", b"two")]
    data = bytearray(write_tar(tmp_path / "t.tar", members, tarfile.PAX_FORMAT).read_bytes())
    data[512] = ord("x")  # the record's length
    found = list(walk(bytes(data)))
    assert [type(item) for item in found] == [Damage, Member, Member]
    assert [item.name for item in found[1:]] == ["", "short.txt"]


def test_a_size_beyond_the_end_costs_its_member_only(tmp_path, write_tar):
    """No checksum covers what a pax header says."""
    members = [("p" * 120 + ".txt", b"one"), ("short.txt", b"two")]
    data = write_tar(tmp_path / "t.tar", members, tarfile.PAX_FORMAT).read_bytes()
    record = data[512 : data.index(b"\n", 512) + 1]
    spoiled = data.replace(record, f"{len(record)} size={'9' * (len(record) - 10)}\n".encode()[: len(record)])
    found = list(walk(spoiled))
    assert [item.name for item in found if isinstance(item, Member)] == ["short.txt"]
    assert [item.defect for item in found if isinstance(item, Damage)] == [Defect.DAMAGED_HEADER]


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
    assert list(walk(garbage)) == [Damage(0, Defect.DAMAGED_HEADER), Damage(len(garbage), Defect.NO_END_MARK)]


def test_every_cut_keeps_the_whole_members_before_it(tmp_path, write_tar):
    data = write_tar(tmp_path / "t.tar", [(f"{n}.txt", bytes([65 + n]) * 700) for n in range(3)]).read_bytes()
    whole = list(walk(data))
    content = whole[-1].offset + 1024
    for cut in range(1, len(data), 61):
        found = list(walk(data[:cut]))
        kept = [m for m in whole if m.offset + m.size <= cut]
        assert [item for item in found if isinstance(item, Member)] == kept
        if cut <= content:
            assert found[-1].defect in (Defect.TRUNCATED_SHARD, Defect.NO_END_MARK)
            assert found[-1].offset == cut


def _archive(path, write_tar, count=40, size=700):
    return write_tar(path, [(f"{n}.bin", bytes([65 + n]) * size) for n in range(count)]).read_bytes()


@pytest.mark.parametrize("where", ["payload", "header", "between"])
def test_a_tail_of_zeros_is_no_end(tmp_path, write_tar, where):
    """As of a download into a file of its final size that was cut off."""
    data = bytearray(_archive(tmp_path / "t.tar", write_tar))
    whole = list(walk(bytes(data)))
    third = whole[3]
    cut = {"payload": third.offset + 300, "header": third.offset - 200, "between": third.offset - BLOCK}[where]
    data[cut:] = bytes(len(data) - cut)
    found = list(walk(bytes(data)))
    assert found[:3] == whole[:3]
    assert {item.defect for item in found[3:]} & {Defect.ZEROS, Defect.DAMAGED_HEADER}
    assert not [item for item in found[3:] if isinstance(item, Member)]


def test_a_hole_of_zeros_is_named_and_what_follows_is_kept(tmp_path, write_tar):
    """As of a download in several pieces."""
    data = bytearray(_archive(tmp_path / "t.tar", write_tar))
    whole = list(walk(bytes(data)))
    start, end = whole[5].offset + 100, whole[20].offset - BLOCK
    data[start:end] = bytes(end - start)
    found = list(walk(bytes(data)))
    assert [item for item in found if isinstance(item, Member)] == whole[:5] + whole[20:]
    assert Damage(whole[5].offset, Defect.ZEROS) in found


def test_the_last_member_is_not_taken_for_whole_where_zeros_begin_in_it(tmp_path, write_tar):
    """Too few are missing for the tail to be longer than a writer's."""
    data = bytearray(_archive(tmp_path / "t.tar", write_tar, count=3))
    last = list(walk(bytes(data)))[-1]
    data[last.offset + 600 :] = bytes(len(data) - last.offset - 600)
    assert list(walk(bytes(data)))[2:] == [Damage(last.offset, Defect.ZEROS)]


@pytest.mark.parametrize("blocks", [1, 2, 3, 20])
def test_an_end_may_be_as_short_as_one_block_and_fill_its_record(tmp_path, write_tar, blocks):
    data = _archive(tmp_path / "t.tar", write_tar, count=3)
    end = 3 * (BLOCK + 1024)
    assert len(data) % RECORD == 0
    assert all(isinstance(item, Member) for item in walk(data[: end + blocks * BLOCK]))


def test_a_file_is_walked_as_its_bytes_are(tmp_path, write_tar):
    data = bytearray(_archive(tmp_path / "t.tar", write_tar, size=9000))
    data[10 * 9728 + 3] ^= 1
    (tmp_path / "t.tar").write_bytes(data)
    with FileView(tmp_path / "t.tar") as view:
        assert list(walk(view)) == list(walk(bytes(data)))
        assert [view[at : at + 3] for at in (0, 8191, 9, 20_000)] == [data[at : at + 3] for at in (0, 8191, 9, 20_000)]


def test_a_file_that_shrinks_is_an_error_and_no_signal(tmp_path, write_tar):
    _archive(tmp_path / "t.tar", write_tar)
    with FileView(tmp_path / "t.tar") as view:
        (tmp_path / "t.tar").write_bytes(b"")
        with pytest.raises(OSError, match="became shorter while it was read"):
            list(walk(view))


def _pax(tmp_path, record):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("p" * 120))
    data = bytearray(path.read_bytes())
    payload = record * (2**20 // len(record))
    data[124:136] = f"{len(payload):011o}\0".encode()
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    return bytes(data[:512]) + payload + bytes(-len(payload) % 512) + bytes(data[1024:1536]) + bytes(1024)


@pytest.mark.parametrize("record", [b"6 a=b\n", b"0 a=b\n", b"-6 a=b\n", b" ", b"9" * 512])
def test_a_hostile_pax_header_takes_no_longer_than_its_length(tmp_path, record):
    start = time.process_time()
    assert [type(item) for item in walk(_pax(tmp_path, record))][-1] is Member
    assert time.process_time() - start < 5
