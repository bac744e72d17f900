import errno
import gzip
import io
import json
import os
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem, summarise, write_problems
from ldmlab.data.shards import file_view
from ldmlab.data.shards.shard_files import ShardFiles
from ldmlab.data.shards.shard_scan import scan_shard
from ldmlab.data.shards.tar_walk import BLOCK, Member, walk


def _read_all(index):
    files = ShardFiles(index.root, index.shards)
    for row, entry in enumerate(index):
        yield entry, files.read(entry.shard, entry.image.offset, entry.image.size), index.meta(row, files)


def _with(members, part, payload):
    """Replace the payload of a sample's part, or leave the part out."""
    return [(name, payload if name.endswith(part) else old) for name, old in members if payload or part not in name]


def test_finds_every_sample_in_order_with_its_own_parts(tmp_path, write_shards, png):
    index = ShardIndex.build(write_shards(tmp_path, [3, 2]))
    assert [entry.shard for entry in index] == [0, 0, 0, 1, 1]
    for number, (entry, image, meta) in enumerate(_read_all(index)):
        assert entry.key == f"{number:09d}" == meta["key"]
        assert entry.caption == f"caption {number}"
        assert image == png(number)
    assert not index.problems
    assert index.summary() == "5 samples in 2 shards, no problems"


def test_members_that_are_not_adjacent_are_joined(tmp_path, write_tar, members):
    parts = [*members(0), *members(1), *members(2)]
    random.Random(0).shuffle(parts)
    write_tar(tmp_path / "0.tar", parts)
    index = ShardIndex.build(tmp_path)
    assert not index.problems
    assert sorted((e.key, e.caption, m["number"]) for e, _, m in _read_all(index)) == [
        (f"{n:09d}", f"caption {n}", n) for n in range(3)
    ]


def test_json_is_optional_and_extensions_ignore_case(tmp_path, write_tar, png):
    write_tar(tmp_path / "0.tar", [("./a/1.PNG", png(1)), ("./a/1.txt", b" one \n")])
    index = ShardIndex.build(tmp_path)
    assert [(e.key, e.caption, m) for e, _, m in _read_all(index)] == [("a/1", "one", {})]


def test_keys_are_unique_within_a_shard_only(tmp_path, write_tar, members):
    again = [(name, payload.replace(b"caption", b"again")) for name, payload in members(0)]
    write_tar(tmp_path / "0.tar", [*members(0), *again])
    write_tar(tmp_path / "1.tar", [*again, *members(1)])
    index = ShardIndex.build(tmp_path)
    assert [(entry.shard, entry.key, entry.caption) for entry in index] == [
        (0, "000000000", "caption 0"),
        (1, "000000000", "again 0"),
        (1, "000000001", "caption 1"),
    ]
    assert index.problems == (Problem(Defect.DUPLICATE_KEY, "0.tar", "000000000"),)


def _bomb():
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "PNG")
    return buffer.getvalue()


def _gif():
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "GIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("part", "payload", "defect"),
    [
        (".png", None, Defect.MISSING_IMAGE),
        (".png", b"", Defect.MISSING_IMAGE),
        (".png", b"<html>gone</html>", Defect.UNDECODABLE_IMAGE),
        (".png", _gif(), Defect.UNDECODABLE_IMAGE),
        (".png", _bomb(), Defect.OVERSIZED_IMAGE),
        (".txt", None, Defect.MISSING_CAPTION),
        (".txt", b" \n", Defect.EMPTY_CAPTION),
        (".txt", "caf\u00e9".encode("latin-1"), Defect.UNDECODABLE_CAPTION),
        (".txt", "a star".encode("utf-16-le"), Defect.NUL_CAPTION),
        (".txt", b"a" * 70_000, Defect.OVERSIZED_CAPTION),
        (".json", b'{"a": "' + b"a" * 2**20 + b'"}', Defect.OVERSIZED_JSON),
        (".json", b'{"key": ', Defect.BROKEN_JSON),
        (".json", b"[1]", Defect.BROKEN_JSON),
        (".json", b"[" * 100_000, Defect.BROKEN_JSON),
    ],
)
def test_each_defect_is_named_and_costs_its_sample_only(tmp_path, write_tar, members, part, payload, defect):
    write_tar(tmp_path / "0.tar", [*members(0), *_with(members(1), part, payload), *members(2)])
    index = ShardIndex.build(tmp_path)
    assert [entry.key for entry in index] == ["000000000", "000000002"]
    assert index.problems == (Problem(defect, "0.tar", "000000001"),)
    assert index.count(defect) == 1
    assert f"1 problem: 1 {defect} (first: 0.tar/000000001)" in index.summary()


def test_pixel_limit_is_the_callers(tmp_path, write_tar, members, png):
    write_tar(tmp_path / "0.tar", [*members(0), *_with(members(1), ".png", png(1, 9))])
    index = ShardIndex.build(tmp_path, max_pixels=80)
    assert [entry.key for entry in index] == ["000000000"]
    assert len(ShardIndex.build(tmp_path)) == 2, "the limit is part of what the stored index depends on"


def test_other_members_are_ignored_and_counted(tmp_path, write_tar, members):
    others = [("000000000.pkl", b"cos\nsystem\n"), ("000000000.pyd", b"x"), ("README", b"x"), (".txt", b"x")]
    write_tar(tmp_path / "0.tar", [*others, *members(0)])
    index = ShardIndex.build(tmp_path)
    assert len(index) == 1
    assert [(p.defect, p.key) for p in index.problems] == [(Defect.IGNORED_MEMBER, name) for name, _ in others]


def test_shard_without_stats_is_named_where_others_have_them(tmp_path, write_shards):
    write_shards(tmp_path, [1, 1])
    (tmp_path / "00001_stats.json").unlink()
    index = ShardIndex.build(tmp_path)
    assert len(index) == 2
    assert index.problems == (Problem(Defect.UNFINISHED_SHARD, "00001.tar"),)


def test_truncated_shard_gives_its_whole_samples_and_is_named(tmp_path, write_shards):
    path = write_shards(tmp_path, [5, 2]) / "00000.tar"
    cut = 3 * 3 * 2 * BLOCK + 530
    path.write_bytes(path.read_bytes()[:cut])
    index = ShardIndex.build(tmp_path)
    assert [entry.key for entry in index] == [f"{n:09d}" for n in (0, 1, 2, 5, 6)]
    assert index.problems == (Problem(Defect.TRUNCATED_SHARD, "00000.tar", f"byte {cut}"),)


def _spans(data, members_per_sample=3):
    """key -> {extension: Member} of an intact tar."""
    samples = {}
    for item in walk(data):
        assert isinstance(item, Member)
        key, extension = item.name.split(".")
        samples.setdefault(key, {})[extension] = item
    assert all(len(sample) == members_per_sample for sample in samples.values())
    return samples


def _rows(table):
    return zip(table.keys, table.captions, table.spans.tolist(), strict=True)


def test_fuzzed_tar_never_pairs_wrongly_and_keeps_every_untouched_sample(tmp_path, write_shards):
    path = write_shards(tmp_path, [12]) / "00000.tar"
    original = path.read_bytes()
    truth = _spans(original)
    rng = random.Random(0)
    for _ in range(150):
        data = bytearray(original)
        places = [rng.randrange(len(data)) for _ in range(rng.choice([1, 3, 20]))]
        for place in places:
            data[place] ^= rng.randrange(1, 256)
        path.write_bytes(data)
        found = {row[0]: row for row in _rows(scan_shard(path).table)}
        assert set(found) <= set(truth)
        for key, members in truth.items():
            begin, end = members["png"].offset - BLOCK, members["txt"].offset + BLOCK
            assert key in found or any(begin <= place < end for place in places)
        for key, entry in found.items():
            members = truth[key]
            text = members["txt"]
            _, caption, (image, image_size, meta, _) = entry
            intact = bytes(data[text.offset : text.offset + text.size]).decode(errors="replace").strip()
            assert caption in ("", intact)
            assert (image, image_size) == (members["png"].offset, members["png"].size)
            assert meta in (-1, members["json"].offset)


def test_damaged_header_is_counted_and_costs_one_sample(tmp_path, write_shards):
    path = write_shards(tmp_path, [4]) / "00000.tar"
    data = bytearray(path.read_bytes())
    data[6 * BLOCK + 125] ^= 1  # the size of the image of the second sample
    path.write_bytes(data)
    index = ShardIndex.build(tmp_path)
    assert [entry.key for entry in index] == [f"{n:09d}" for n in (0, 2, 3)]
    assert {(p.defect, p.key) for p in index.problems} == {
        (Defect.DAMAGED_HEADER, f"byte {6 * BLOCK}"),
        (Defect.MISSING_IMAGE, "000000001"),
    }


def _no_captions(folder, write_tar, members):
    write_tar(folder / "0.tar", _with(members(0), ".txt", None))


def _all_bad(folder, write_tar, members):
    write_tar(folder / "0.tar", _with(members(0), ".png", b"x"))


def _not_a_tar(folder, write_tar, members):
    (folder / "0.tar").write_bytes(b"<html>" * 1000)


def _empty_tar(folder, write_tar, members):
    write_tar(folder / "1.tar", [])


def _empty_file(folder, write_tar, members):
    (folder / "0.tar").touch()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder, *_: None, "has no shards"),
        (lambda folder, *_: folder.rmdir(), "does not exist"),
        (_no_captions, "have no captions"),
        (_all_bad, "have no usable sample.*undecodable image"),
        (_not_a_tar, "have no usable sample.*no tar .first: 0.tar: a web page"),
        (_empty_tar, r"1 empty shard \(first: 1\.tar: 10,240 bytes, all zero\)"),
        (_empty_file, r"1 empty shard \(first: 0\.tar: 0 bytes\)"),
    ],
)
def test_unusable_folder_is_one_line_with_path_and_fix(tmp_path, write_tar, members, make, words):
    folder = tmp_path / "shards"
    folder.mkdir()
    make(folder, write_tar, members)
    with pytest.raises(ValueError, match=words) as caught:
        ShardIndex.build(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "`ldmlab data dataset=shapes`" in message
    assert "\n" not in message
    assert {path.name for path in folder.glob(".*")} <= {".ldmlab_index"}


def _same(one, other):
    assert list(one) == list(other)
    assert (one.problems, one.fingerprint, one.sizes) == (other.problems, other.fingerprint, other.sizes)


def test_stored_index_is_used_until_a_shard_changes(tmp_path, write_shards, write_tar, members, scans):
    write_shards(tmp_path, [3, 2])
    (tmp_path / "00001_stats.json").unlink()
    first = ShardIndex.build(tmp_path)
    assert len(scans) == 2
    _same(ShardIndex.build(tmp_path), first)
    assert len(scans) == 2
    _same(ShardIndex.build(tmp_path, cache=False), first)
    assert len(scans) == 4
    write_tar(tmp_path / "00001.tar", members(7))
    assert [entry.key for entry in ShardIndex.build(tmp_path)][3:] == ["000000007"]
    (tmp_path / "00001_stats.json").touch()
    assert ShardIndex.build(tmp_path).problems == ()


def test_fingerprint_follows_content_not_place(tmp_path, write_shards):
    one = ShardIndex.build(write_shards(tmp_path / "one", [3]))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert ShardIndex.build(tmp_path / "two").fingerprint == one.fingerprint
    assert ShardIndex.build(write_shards(tmp_path / "three", [3], 1)).fingerprint != one.fingerprint
    assert one.select(range(1, len(one))).fingerprint != one.fingerprint


def test_fingerprint_sees_other_captions_in_tars_of_the_same_size(tmp_path, write_tar, members):
    for name, text in (("one", b"a red star"), ("two", b"a big star")):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "0.tar", _with(members(0), ".txt", text))
    one, two = (ShardIndex.build(tmp_path / name) for name in ("one", "two"))
    assert one.sizes == two.sizes
    assert one.fingerprint != two.fingerprint


def test_problems_are_named_one_by_one_in_a_table(tmp_path):
    problems = [Problem(Defect.BROKEN_JSON, "0.tar", "a,b"), Problem(Defect.EMPTY_SHARD, "1.tar", detail="0 bytes")]
    write_problems(tmp_path / "p.csv", problems)
    assert (tmp_path / "p.csv").read_text() == (
        'problem,shard,key,detail\nbroken json,0.tar,"a,b",\nempty shard,1.tar,,0 bytes\n'
    )


def test_summary_counts_kinds_most_frequent_first():
    problems = [Problem(Defect.EMPTY_CAPTION, "0.tar", "a")] + [Problem(Defect.BROKEN_JSON, "1.tar", k) for k in "bc"]
    assert summarise(problems) == "3 problems: 2 broken json (first: 1.tar/b), 1 empty caption (first: 0.tar/a)"


def test_a_byte_order_mark_is_no_part_of_a_caption(tmp_path, write_tar, members):
    write_tar(tmp_path / "0.tar", _with(members(0), ".txt", b"\xef\xbb\xbfa star"))
    assert ShardIndex.build(tmp_path)[0].caption == "a star"


def test_json_with_odd_values_is_no_defect(tmp_path, write_tar, members):
    """NaN is what tables without a value become; width and height are not what is read."""
    write_tar(tmp_path / "0.tar", _with(members(0), ".json", b'{"punsafe": NaN, "width": "x", "height": -1}'))
    assert ShardIndex.build(tmp_path).problems == ()


def _pipe(path):
    os.mkfifo(path)


def _gzip(path):
    path.write_bytes(gzip.compress(bytes(10_000)))


def _lfs(path):
    path.write_bytes(b"version 1\noid sha256:0\nsize 9\n")


UNUSABLE = {
    "no bytes": (lambda path: path.touch(), Defect.EMPTY_SHARD, "0 bytes"),
    "zeros": (lambda path: path.write_bytes(bytes(300_000)), Defect.EMPTY_SHARD, "300,000 bytes, all zero"),
    "web page": (lambda path: path.write_bytes(b"\n<!DOCTYPE html>"), Defect.NO_ARCHIVE, "a web page"),
    "gzip": (_gzip, Defect.NO_ARCHIVE, "compressed by gzip: unpack it"),
    "lfs": (_lfs, Defect.NO_ARCHIVE, "a pointer of Git LFS"),
    "text": (lambda path: path.write_bytes(b"hello " * 900), Defect.NO_ARCHIVE, "it has no tar header"),
    "folder": (lambda path: path.mkdir(), Defect.UNREADABLE_SHARD, "a folder"),
    "pipe": (_pipe, Defect.UNREADABLE_SHARD, "a pipe"),
    "link": (lambda path: path.symlink_to("nowhere"), Defect.UNREADABLE_SHARD, "a link to nothing"),
    "device": (lambda path: path.symlink_to("/dev/zero"), Defect.UNREADABLE_SHARD, "a device"),
}


def test_unusable_shards_are_named_as_what_they_are_in_one_pass(tmp_path, write_shards, scans):
    write_shards(tmp_path, [3])
    for name, (make, *_) in UNUSABLE.items():
        make(tmp_path / f"{name}.tar")
        (tmp_path / f"{name}_stats.json").write_text("{}")
    index = ShardIndex.build(tmp_path)
    assert len(index) == 3
    assert index.shards == ("00000.tar",)
    told = {problem.shard: (problem.defect, problem.detail) for problem in index.problems}
    assert len(told) == len(index.problems) == len(UNUSABLE)
    for name, (_, defect, detail) in UNUSABLE.items():
        assert told[f"{name}.tar"][0] is defect
        assert told[f"{name}.tar"][1].startswith(detail)
    assert len(scans) == 1 + len(UNUSABLE)
    assert len(ShardIndex.build(tmp_path)) == 3
    assert len(scans) == 1 + len(UNUSABLE) + 4, "what could not be read may be readable now"


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "permission denied"), (errno.ESTALE, "stale file handle")]
)
def test_what_the_system_refuses_is_named(tmp_path, write_shards, monkeypatch, number, words):
    write_shards(tmp_path, [2, 2])

    def refuse(path):
        if path.name == "00001.tar":
            raise OSError(number, os.strerror(number), str(path))
        return open(path, "rb")

    monkeypatch.setattr(file_view, "open_regular", refuse)
    index = ShardIndex.build(tmp_path)
    assert len(index) == 2
    assert index.problems == (Problem(Defect.UNREADABLE_SHARD, "00001.tar", detail=words),)


def test_too_many_open_files_are_no_defect_of_a_shard(tmp_path, write_shards, monkeypatch):
    def refuse(path):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(file_view, "open_regular", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        ShardIndex.build(write_shards(tmp_path, [2]))


def test_counts_are_compared_with_the_statistics(tmp_path, write_shards):
    write_shards(tmp_path, [5, 2, 3])
    (tmp_path / "00000_stats.json").write_text('{"count": 80, "successes": 70}')
    (tmp_path / "00001_stats.json").write_text('{"count": 2, "successes": 2}')
    (tmp_path / "00007_stats.json").write_text('{"successes": 1}')
    index = ShardIndex.build(tmp_path)
    assert index.problems == (
        Problem(Defect.OTHER_COUNT, "00000.tar", detail="5 images of 70"),
        Problem(Defect.MISSING_SHARD, "00007_stats.json"),
    )
    assert "1 shard that differs from its _stats.json (first: 00000.tar: 5 images of 70)" in index.summary()


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"[" * 100_000, b'{"successes": "x"}', b"{}" + b" " * 2**21, None]
)
def test_statistics_that_say_nothing_are_no_obstacle(tmp_path, write_shards, content):
    path = write_shards(tmp_path, [2]) / "00000_stats.json"
    path.unlink()
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    assert ShardIndex.build(tmp_path).problems == ()


def test_a_tail_of_zeros_is_found_without_statistics(tmp_path, write_shards):
    path = write_shards(tmp_path, [20]) / "00000.tar"
    data = path.read_bytes()
    cut = 10 * 6 * BLOCK + BLOCK + 40  # within the pixels of sample 10
    path.write_bytes(data[:cut] + bytes(len(data) - cut))
    index = ShardIndex.build(tmp_path)
    assert len(index) == 10
    assert index.count(Defect.ZEROS) == 2
    assert {problem.shard for problem in index.problems} == {"00000.tar"}


def test_a_dataset_that_was_not_written_to_its_end_is_named(tmp_path, write_shards):
    write_shards(tmp_path / "train", [2, 2])
    facts = {"counts": {"train": 9}, "shard_size": 2, "complete": False}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    told = "2 of 5 were written: run `ldmlab data` again"
    assert ShardIndex.build(tmp_path / "train").problems == (
        Problem(Defect.MISSING_SHARD, "dataset.json", detail=told),
    )
    for other in ('{"counts": {"train": 4}, "shard_size": 2}', '{"counts": {"train": 9}, "shard_size": 0}', "[]", "x"):
        (tmp_path / "dataset.json").write_text(other)
        assert ShardIndex.build(tmp_path / "train").problems == ()


def test_names_may_be_in_capitals(tmp_path, write_shards):
    write_shards(tmp_path, [2, 1])
    (tmp_path / "00000.tar").rename(tmp_path / "00000.TAR")
    index = ShardIndex.build(tmp_path)
    assert (index.shards, len(index), index.problems) == (("00000.TAR", "00001.tar"), 3, ())


def test_compressed_shards_beside_others_are_named(tmp_path, write_shards):
    write_shards(tmp_path, [2])
    (tmp_path / "00001.tar.gz").touch()
    assert ShardIndex.build(tmp_path).problems == (
        Problem(Defect.NO_ARCHIVE, "00001.tar.gz", detail="compressed: unpack it"),
    )
    (tmp_path / "00000.tar").unlink()
    with pytest.raises(ValueError, match=r"compressed shards alone \(first: 00001\.tar\.gz\): unpack them"):
        ShardIndex.build(tmp_path)


def test_an_added_or_changed_shard_costs_a_scan_of_that_shard(tmp_path, write_shards, write_tar, members, scans):
    write_shards(tmp_path, [3, 2, 2])
    shown = []

    def progress(paths):
        shown.append(len(paths))
        return iter(paths)

    def build():
        scans.clear()
        return [entry.key for entry in ShardIndex.build(tmp_path, progress=progress)], list(scans)

    assert build() == ([f"{n:09d}" for n in range(7)], ["00000.tar", "00001.tar", "00002.tar"])
    write_tar(tmp_path / "00000b.tar", members(70))
    assert build() == ([f"{n:09d}" for n in (0, 1, 2, 70, 3, 4, 5, 6)], ["00000b.tar"])
    write_tar(tmp_path / "00001.tar", members(80))
    (tmp_path / "00000.tar").unlink()
    assert build() == ([f"{n:09d}" for n in (70, 80, 5, 6)], ["00001.tar"])
    assert build()[1] == []
    assert shown == [3, 1, 1]


def test_an_interrupted_scan_is_kept(tmp_path, write_shards, scans):
    write_shards(tmp_path, [1, 1, 1])

    def interrupted(paths):
        yield from paths[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ShardIndex.build(tmp_path, progress=interrupted)
    assert len(ShardIndex.build(tmp_path)) == 3
    assert scans == ["00000.tar", "00001.tar", "00002.tar"]


@pytest.mark.parametrize(
    ("cls", "label", "expected", "defect"),
    [
        (None, 3, 3, None),
        (None, 0, 0, None),
        (b" 4\n", None, 4, None),
        (b"4", 4, 4, None),
        (b"4", 3, 4, Defect.OTHER_LABEL),
        (b"4", "x", 4, None),
        (None, None, None, Defect.MISSING_LABEL),
        (None, "1", None, Defect.BAD_LABEL),
        (None, 1.0, None, Defect.BAD_LABEL),
        (None, -1, None, Defect.BAD_LABEL),
        (None, True, None, Defect.BAD_LABEL),
        (None, [1], None, Defect.BAD_LABEL),
        (None, float("nan"), None, Defect.BAD_LABEL),
        (None, 2**70, None, Defect.BAD_LABEL),
        (None, 7, None, Defect.NO_CLASS),
        (b"7", 7, None, Defect.NO_CLASS),
        (b"-1", 1, None, Defect.BAD_LABEL),
        (b"1.0", 1, None, Defect.BAD_LABEL),
        (b"\xd9\xa1", 1, None, Defect.BAD_LABEL),
        (b"cat", 1, None, Defect.BAD_LABEL),
        (b"", 1, None, Defect.BAD_LABEL),
        (b"9" * 5000, 1, None, Defect.BAD_LABEL),
    ],
)
def test_labels_are_checked_where_they_are_needed(tmp_path, write_tar, png, cls, label, expected, defect):
    parts = [("bad.png", png(0)), ("bad.json", json.dumps({"label": label}).encode())]
    parts += [("bad.cls", cls)] if cls is not None else []
    write_tar(tmp_path / "0.tar", [*parts, ("good.png", png(1)), ("good.cls", b"1")])
    index = ShardIndex.build(tmp_path, needs=Needs(captions=False, classes=5))
    wanted = {"bad": expected, "good": 1} if expected is not None else {"good": 1}
    assert {entry.key: entry.label for entry in index} == wanted
    assert [(problem.defect, problem.shard, problem.key) for problem in index.problems] == (
        [(defect, "0.tar", "bad")] if defect else []
    )
    assert ShardIndex.build(tmp_path, needs=Needs(captions=False)).problems == ()


def test_captions_are_not_missed_where_nothing_reads_them(tmp_path, write_shards, write_tar, members):
    write_shards(tmp_path / "some", [2])
    write_tar(tmp_path / "some" / "00001.tar", _with(members(9), ".txt", None))
    assert len(ShardIndex.build(tmp_path / "some")) == 2
    every = ShardIndex.build(tmp_path / "some", needs=Needs(captions=False))
    assert [entry.caption for entry in every] == ["caption 0", "caption 1", ""]
    assert every.count(Defect.MISSING_CAPTION) == 0


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(), "have no captions .* choose a conditioner that reads none, such as class_label or none"),
        (Needs(captions=False, classes=3), "have no labels .KEY.cls, or `label` in KEY.json"),
    ],
)
def test_data_without_what_is_needed_is_refused_in_one_line(tmp_path, write_tar, png, needs, words):
    write_tar(tmp_path / "0.tar", [("a.png", png(0)), ("b.png", png(1))])
    with pytest.raises(ValueError, match=words):
        ShardIndex.build(tmp_path, needs=needs)


def test_labels_beyond_the_classes_are_told(tmp_path, write_tar, png):
    write_tar(tmp_path / "0.tar", [("a.png", png(0)), ("a.cls", b"12")])
    with pytest.raises(ValueError, match=r"1 label beyond the classes \(first: 0\.tar/a: label 12 of 10 classes\)"):
        ShardIndex.build(tmp_path, needs=Needs(captions=False, classes=10))


def test_the_header_of_an_image_is_read_without_its_pixels(tmp_path, write_tar, monkeypatch):
    buffer = io.BytesIO()
    Image.frombytes("RGB", (512, 512), random.Random(0).randbytes(512 * 512 * 3)).save(buffer, "PNG")
    samples = [((f"{n}.png", buffer.getvalue()), (f"{n}.txt", b"x")) for n in range(9)]
    write_tar(tmp_path / "0.tar", [member for sample in samples for member in sample])
    sizes = []
    read = file_view.FileView._read

    def counted(view, start, stop):
        sizes.append(stop - start)
        return read(view, start, stop)

    monkeypatch.setattr(file_view.FileView, "_read", counted)
    assert len(ShardIndex.build(tmp_path)) == 9
    assert sum(sizes) < 9 * 20_000 < len(buffer.getvalue())


def test_names_from_strangers_do_not_speak_to_the_terminal():
    assert str(Problem(Defect.IGNORED_MEMBER, "0.tar", "a\x1b[2J\nb")) == "0.tar/a\\x1b[2J\\nb"


def test_names_of_shards_that_are_no_utf_8_are_names(tmp_path, write_shards):
    write_shards(tmp_path, [2, 1])
    (tmp_path / "00000.tar").rename(tmp_path / os.fsdecode(b"caf\xe9.tar"))
    for _ in range(2):
        index = ShardIndex.build(tmp_path)
        assert sorted(entry.key for entry in index) == [f"{n:09d}" for n in range(3)]
        write_problems(tmp_path / "p.csv", index.problems)
        assert "shard without _stats.json,caf\\udce9.tar" in (tmp_path / "p.csv").read_text()


def test_fields_are_what_the_json_says(tmp_path, write_tar, png):
    """Of whatever type: what no column holds is read from the json."""
    values = [1, 2.5, True, "en", None, 2**60, "x" * 40, [1], {"a": 1}, float("nan"), float("inf"), -7, 0.1]
    parts = []
    for number, value in enumerate(values):
        meta = json.dumps({"value": value, "\ud800": 1} if number else {"image_width": "no", "value": value}).encode()
        parts += [(f"{number:02d}.png", png(number, 3)), (f"{number:02d}.json", meta), (f"{number:02d}.txt", b"text")]
    write_tar(tmp_path / "0.tar", [*parts, ("99.png", png(9)), ("99.txt", b"no json")])
    for index in (ShardIndex.build(tmp_path, cache=False), ShardIndex.build(tmp_path), ShardIndex.build(tmp_path)):
        fields = index.fields
        assert fields.names == ("image_width", "value", "image_height", "\ud800")
        nan = float("nan")
        wanted = [1, 2.5, 1, nan, nan, 2.0**60, nan, nan, nan, nan, float("inf"), -7, 0.1, nan]
        np.testing.assert_array_equal(fields.numbers("value", 0, 14), wanted)
        np.testing.assert_array_equal(fields.numbers("value", 5, 7), wanted[5:7])
        texts = fields.texts("value", 0, 14)
        assert {place: text for place, text in enumerate(texts) if text is not None} == {3: "en", 6: "x" * 40}
        np.testing.assert_array_equal(fields.numbers("image_width", 0, 14), [3.0] * 13 + [8.0])
        with pytest.raises(ValueError, match="'mood' is no key of the samples' json"):
            fields.numbers("mood", 0, 1)


def test_sides_are_those_of_the_picture_as_it_is_shown(tmp_path, write_tar):
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(buffer, "JPEG", exif=exif)
    write_tar(tmp_path / "0.tar", [("0.jpg", buffer.getvalue()), ("0.txt", b"text")])
    fields = ShardIndex.build(tmp_path).fields
    assert (fields.numbers("image_width", 0, 1), fields.numbers("image_height", 0, 1)) == ([10], [20])


def test_words_of_several_shards_are_one_list(tmp_path, write_tar, png):
    for shard, languages in enumerate((["en", "de"], ["de", "fr"], [3, "en"])):
        parts = []
        for number, language in enumerate(languages):
            meta = json.dumps({"language": language, "score": 2**20 * shard + 0.5}).encode()
            parts += [(f"{number}.png", png(1)), (f"{number}.txt", b"text"), (f"{number}.json", meta)]
        write_tar(tmp_path / f"{shard}.tar", parts)
    fields = ShardIndex.build(tmp_path).fields
    assert fields.texts("language", 0, 6) == ["en", "de", "de", "fr", None, "en"]
    assert fields.numbers("language", 4, 5) == [3]
    assert fields.numbers("score", 0, 6).tolist() == [0.5, 0.5, 2**20 + 0.5, 2**20 + 0.5, 2**21 + 0.5, 2**21 + 0.5]


def test_a_key_with_too_many_words_is_read_from_the_json_beyond_them(tmp_path, write_tar, png):
    parts = []
    for number in range(300):
        meta = json.dumps({"name": f"n{number}"} | ({f"k{number}": 1} if number < 290 else {})).encode()
        parts += [(f"{number:03d}.png", png(1)), (f"{number:03d}.txt", b"text"), (f"{number:03d}.json", meta)]
    write_tar(tmp_path / "0.tar", parts)
    fields = ShardIndex.build(tmp_path).fields
    assert fields.texts("name", 0, 300) == [f"n{number}" for number in range(300)]
    assert len(fields.names) == 256
