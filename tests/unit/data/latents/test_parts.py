import os
import pickle
import re
import tracemalloc

import numpy as np
import pytest

from ldmlab.data.latents.parts import CHECKSUM, MOST, Parts, part_size, record_of

RECORD = record_of({"row": ("i8", ()), "numbers": ("f2", (2, 3))})


def records(numbers):
    found = np.zeros(len(numbers), RECORD)
    found["row"] = numbers
    found["numbers"] = np.arange(6).reshape(2, 3) + np.array(numbers)[:, None, None] % 1000
    return found


def written(folder, count):
    parts = Parts(folder, RECORD, count)
    folder.mkdir(exist_ok=True)
    for part in range(len(parts)):
        parts.write(part, records(parts.span(part)))
    return parts


def test_records_come_back_by_number(tmp_path):
    parts = written(tmp_path / "a", 150)
    assert (parts.size, len(parts), parts.missing()) == (64, 3, [])
    assert [len(parts.span(part)) for part in range(3)] == [64, 64, 22]
    wanted = [149, 0, 64, 63, 64]
    for each in (parts, Parts(tmp_path / "a", RECORD, 150), pickle.loads(pickle.dumps(parts))):
        found = each.take(np.array(wanted))
        assert found["row"].tolist() == wanted
        assert np.array_equal(found["numbers"], records(wanted)["numbers"])


def test_files_hold_some_thousands_at_most_and_are_several_on_small_data():
    latents, text = 8 * 32 * 32 * 2, 77 * 768 * 2
    assert [part_size(count, latents) for count in (1, 64, 2048, 5000, 1_300_000, 4 * 10**8)] == [
        64, 64, 64, 128, MOST, MOST,
    ]  # fmt: skip
    assert part_size(10**7, text) * text <= 2**28
    assert part_size(10, 10**12) == 64


SPOIL = {
    "cut off": lambda content: content[:-1],
    "longer": lambda content: content + b"x",
    "empty": lambda content: b"",
    "other numbers": lambda content: content.replace(b"<f2", b"<i2"),
    "objects": lambda content: content.replace(b"'<u4'", b" '|O'"),
    "python": lambda content: content.replace(b"'descr'", b"{[]: 1}"),
}


@pytest.mark.parametrize("kind", SPOIL)
def test_a_file_that_is_not_what_was_written_is_missing(tmp_path, kind, caplog):
    parts = written(tmp_path / "a", 150)
    path = parts.path(1)
    path.write_bytes(SPOIL[kind](path.read_bytes()))
    parts = Parts(tmp_path / "a", RECORD, 150)
    assert parts.missing() == [1]
    assert re.search(r"a part of a cache is broken and made again: .*/000001\.npy ", caplog.text)
    with pytest.raises(ValueError, match=r"/000001\.npy .*; run again, which makes that file anew"):
        parts.take(np.array([0, 70]))


def test_links_and_pipes_are_missing(tmp_path):
    parts = written(tmp_path / "a", 150)
    parts.path(0).rename(tmp_path / "elsewhere.npy")
    parts.path(0).symlink_to(tmp_path / "elsewhere.npy")
    parts.path(1).unlink()
    os.mkfifo(parts.path(1))
    assert parts.missing() == [0, 1]
    for part in (0, 1):
        parts.write(part, records(parts.span(part)))
    assert parts.missing() == []
    assert not parts.path(0).is_symlink()


def test_a_flipped_bit_is_seen_when_its_record_is_read(tmp_path):
    parts = written(tmp_path / "a", 150)
    content = bytearray(parts.path(2).read_bytes())
    content[-1] ^= 1
    parts.path(2).write_bytes(content)
    assert parts.missing() == []
    parts.take(np.arange(149))
    with pytest.raises(ValueError, match=r"000002\.npy: record 21 does not have its checksum"):
        parts.take(np.array([3, 149]))


def test_memory_does_not_grow_with_the_records(tmp_path):
    peaks = {}
    for count in (2_000, 20_000):
        folder = tmp_path / str(count)
        parts = written(folder, count)
        tracemalloc.start()
        parts = Parts(folder, RECORD, count)
        assert parts.missing() == []
        for first in range(0, count, count // 10):
            parts.take(np.arange(first, first + 64))
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[20_000] < peaks[2_000] + 20_000
    assert 20_000 * RECORD.itemsize > 10 * (peaks[20_000] - peaks[2_000])


def test_checksums_are_set_when_records_are_written(tmp_path):
    parts = written(tmp_path / "a", 3)
    assert len(set(parts.read(0)[CHECKSUM].tolist())) == 3
