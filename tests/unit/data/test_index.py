import io
import random
import shutil

import pytest
from PIL import Image

from ldmlab.data import index as index_module
from ldmlab.data.index import ShardIndex
from ldmlab.data.problems import Defect, Problem, summarise
from ldmlab.data.shard_files import ShardFiles
from ldmlab.data.shard_scan import scan_shard
from ldmlab.data.tar_walk import BLOCK, Member, walk


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
    assert index.problems == ()
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


def test_duplicate_keys_keep_the_first(tmp_path, write_tar, members):
    again = [(name, payload.replace(b"caption", b"again")) for name, payload in members(0)]
    write_tar(tmp_path / "0.tar", [*members(0), *again])
    write_tar(tmp_path / "1.tar", [*again, *members(1)])
    index = ShardIndex.build(tmp_path)
    assert [(entry.key, entry.caption) for entry in index] == [(f"{n:09d}", f"caption {n}") for n in range(2)]
    assert [(p.defect, p.shard) for p in index.problems] == [
        (Defect.DUPLICATE_KEY, "0.tar"),
        (Defect.DUPLICATE_KEY, "1.tar"),
    ]


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


def test_truncated_shard_is_refused_by_name(tmp_path, write_shards):
    path = write_shards(tmp_path, [5, 2]) / "00000.tar"
    path.write_bytes(path.read_bytes()[: 3 * 3 * 2 * BLOCK + 700])
    with pytest.raises(ValueError, match=r"shard .*00000\.tar is truncated at byte \d+"):
        ShardIndex.build(tmp_path)
    path.rename(tmp_path / "00000.tar.broken")
    assert [entry.key for entry in ShardIndex.build(tmp_path)] == ["000000005", "000000006"]


def _spans(data, members_per_sample=3):
    """key -> {extension: Member} of an intact tar."""
    samples = {}
    for item in walk(data):
        assert isinstance(item, Member)
        key, extension = item.name.split(".")
        samples.setdefault(key, {})[extension] = item
    assert all(len(sample) == members_per_sample for sample in samples.values())
    return samples


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
        found = {entry.key: entry for entry in scan_shard(path, 0).entries}
        assert set(found) <= set(truth)
        for key, members in truth.items():
            begin, end = members["png"].offset - BLOCK, members["txt"].offset + BLOCK
            assert key in found or any(begin <= place < end for place in places)
        for key, entry in found.items():
            members = truth[key]
            text = members["txt"]
            assert entry.caption == bytes(data[text.offset : text.offset + text.size]).decode().strip()
            assert (entry.image.offset, entry.image.size) == (members["png"].offset, members["png"].size)
            assert entry.meta is None or entry.meta.offset == members["json"].offset


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
    write_tar(folder / "0.tar", members(0))
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
        (_not_a_tar, "have no usable sample.*damaged tar header"),
        (_empty_tar, r"1\.tar is empty"),
        (_empty_file, r"0\.tar is empty"),
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
    assert not list(folder.glob(".*")) if folder.exists() else True


@pytest.fixture
def scans(monkeypatch):
    """Counts the shards that are really read."""
    calls = []

    def scan(path, *arguments):
        calls.append(path.name)
        return scan_shard(path, *arguments)

    monkeypatch.setattr(index_module, "scan_shard", scan)
    return calls


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


def test_broken_stored_index_is_made_again(tmp_path, write_shards, scans):
    first = ShardIndex.build(write_shards(tmp_path, [2]))
    stored = tmp_path / ".ldmlab_index.npz"
    good = stored.read_bytes()
    rng = random.Random(0)
    for _ in range(60):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= rng.randrange(1, 256)
        stored.write_bytes(bad)
        _same(ShardIndex.build(tmp_path), first)
    stored.write_bytes(good[:-100])
    _same(ShardIndex.build(tmp_path), first)
    assert len(scans) > 30


def test_folder_that_cannot_be_written_is_fine(tmp_path, write_shards):
    write_shards(tmp_path, [2])
    (tmp_path / ".ldmlab_index.npz").mkdir()
    assert len(ShardIndex.build(tmp_path)) == 2


def test_fingerprint_follows_content_not_place(tmp_path, write_shards):
    one = ShardIndex.build(write_shards(tmp_path / "one", [3]))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert ShardIndex.build(tmp_path / "two").fingerprint == one.fingerprint
    assert ShardIndex.build(write_shards(tmp_path / "three", [3], 1)).fingerprint != one.fingerprint
    assert one.filter(lambda meta: meta["number"] > 0).fingerprint != one.fingerprint


def test_fingerprint_sees_other_captions_in_tars_of_the_same_size(tmp_path, write_tar, members):
    for name, text in (("one", b"a red star"), ("two", b"a big star")):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "0.tar", _with(members(0), ".txt", text))
    one, two = (ShardIndex.build(tmp_path / name) for name in ("one", "two"))
    assert one.sizes == two.sizes
    assert one.fingerprint != two.fingerprint


def test_filter_reads_the_json(tmp_path, write_shards):
    index = ShardIndex.build(write_shards(tmp_path, [4, 4]), keep=lambda meta: meta["number"] % 3 == 0)
    assert [entry.caption for entry in index] == ["caption 0", "caption 3", "caption 6"]
    with pytest.raises(ValueError, match=f"keeps none of the 8 samples in {tmp_path}"):
        ShardIndex.build(tmp_path, keep=lambda meta: False)


def test_summary_counts_kinds_most_frequent_first():
    problems = [Problem(Defect.EMPTY_CAPTION, "0.tar", "a")] + [Problem(Defect.BROKEN_JSON, "1.tar", k) for k in "bc"]
    assert summarise(problems) == "3 problems: 2 broken json (first: 1.tar/b), 1 empty caption (first: 0.tar/a)"
