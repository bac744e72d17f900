import errno
import io
import logging
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ldmlab.data.decoding.decode import decode_image
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shard_dataset import ShardDataset, collate, signed, to_signed
from ldmlab.data.shards.shard_files import ShardFiles


def _encode(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _dataset(folder, size=8):
    return ShardDataset(ShardIndex.build(folder, cache=False), size)


def test_sample_has_its_own_pixels_caption_key_and_json(tmp_path, write_shards):
    dataset = _dataset(write_shards(tmp_path, [3, 3]))
    for number in range(6):
        sample = dataset[number]
        assert sample["image"].shape == (3, 8, 8)
        assert sample["image"].dtype == torch.float32
        expected = torch.tensor([number, 0, 7]) / 127.5 - 1
        assert torch.equal(sample["image"], expected.view(3, 1, 1).expand(3, 8, 8))
        assert sample["caption"] == f"caption {number}"
        assert sample["key"] == f"{number:09d}" == dataset.meta(sample["row"])["key"]
        assert sample["row"] == number


def test_collate_stacks(tmp_path, write_shards):
    dataset = _dataset(write_shards(tmp_path, [3]))
    batch = collate([dataset[2], dataset[0]])
    assert batch["images"].shape == (2, 3, 8, 8)
    assert batch["captions"] == ["caption 2", "caption 0"]
    assert batch["keys"] == ["000000002", "000000000"]
    assert "meta" not in batch


def test_captions_and_labels_are_given_where_every_sample_has_one(tmp_path, write_tar, png):
    parts = [("0.png", png(0)), ("0.cls", b"4"), ("1.png", png(1)), ("1.txt", b"a"), ("1.json", b'{"label": 0}')]
    write_tar(tmp_path / "0.tar", [*parts, ("2.png", png(2)), ("2.txt", b"b")])
    dataset = ShardDataset(ShardIndex.build(tmp_path, needs=Needs(captions=False)), 8)
    batches = {rows: collate([dataset[row] for row in rows]) for rows in ((0, 1), (1, 2), (0, 2))}
    assert {rows: (batch.get("captions"), batch.get("labels")) for rows, batch in batches.items()} == {
        (0, 1): (None, [4, 0]),
        (1, 2): (["a", "b"], None),
        (0, 2): (None, None),
    }


def test_pixels_span_minus_one_to_one(tmp_path, write_tar, members):
    white = _encode(Image.new("RGB", (8, 8), "white"))
    black = _encode(Image.new("RGB", (8, 8), "black"))
    write_tar(tmp_path / "0.tar", [("a.png", white), ("a.txt", b"a"), ("b.png", black), ("b.txt", b"b")])
    dataset = _dataset(tmp_path)
    assert dataset[0]["image"].unique().tolist() == [1]
    assert dataset[1]["image"].unique().tolist() == [-1]


@pytest.mark.parametrize(
    ("image_format", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})]
)
def test_formats(image_format, options):
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    pixels = decode_image(_encode(image, image_format, **options), 16)
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - [200, 100, 50]).max() <= 4


def _palette():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (_encode(Image.new("L", (4, 4), 90)), (90, 90, 90)),
        (_encode(Image.new("1", (4, 4), 1)), (255, 255, 255)),
        (_encode(_palette()), (10, 20, 30)),
        (_encode(_palette(), transparency=1), (255, 255, 255)),
        (_encode(Image.new("LA", (4, 4), (0, 0))), (255, 255, 255)),
        (_encode(Image.new("RGBA", (4, 4), (255, 0, 0, 51))), (255, 204, 204)),
        (_encode(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3)), (255, 255, 255)),
        (_encode(Image.fromarray(np.full((4, 4), 300 * 257 // 2, np.uint16))), (150, 150, 150)),
        (_encode(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
    ],
    ids=["grey", "bits", "palette", "palette+t", "grey+alpha", "rgba", "rgb+t", "16 bit", "cmyk"],
)
def test_colour_modes(payload, expected):
    assert np.unique(decode_image(payload, 4).reshape(-1, 3), axis=0).tolist() == [list(expected)]


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (8, 8), "white")
    image.paste("black", (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode_image(_encode(image, exif=exif), 8)
    assert pixels[:, 4:].max() == 0, "turned clockwise, the upper half is on the right"
    assert pixels[:, :4].min() == 255


def _upper_half_black():
    image = Image.new("RGB", (8, 8), "white")
    image.paste("black", (0, 0, 8, 4))
    return image


BROKEN_EXIF = {
    "no exif": b"Exif\0\0" + b"garbage" * 9,
    "nothing": b"Exif\0\0",
    "cut off": b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
    "a chain without end": b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "no such orientation": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
    "orientation of no type": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x63\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("kind", BROKEN_EXIF)
@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "JPEG"])
def test_broken_exif_says_nothing_against_the_pixels(image_format, kind, recwarn):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(image_format, {})
    payload = _encode(_upper_half_black(), image_format, exif=BROKEN_EXIF[kind], **options)
    whole = decode_image(_encode(_upper_half_black(), image_format, **options), 8)
    assert np.array_equal(decode_image(payload, 8), whole)
    assert not recwarn.list


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_orientation_is_applied_where_it_is_readable(image_format):
    """The rest of the exif points beyond its end."""
    orientation = b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    elsewhere = b"\x0f\x01\x02\0\xff\xff\0\0\xff\xff\0\0"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + elsewhere + orientation + bytes(4)
    options = {"lossless": True} if image_format == "WEBP" else {}
    pixels = decode_image(_encode(_upper_half_black(), image_format, exif=exif, **options), 8)
    assert pixels[:, 4:].max() == 0, "turned clockwise, the upper half is on the right"


def _chunk(kind, body, broken=False):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ broken)


BROKEN_CHUNKS = {
    "profile": _chunk(b"iCCP", b"name\0\0garbage"),
    "enormous profile": _chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(2**21))),
    "enormous text": _chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(2**21))),
    "xmp": _chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0garbage"),
    "text with a wrong checksum": _chunk(b"tEXt", b"name\0text", broken=True),
    "exif with a wrong checksum": _chunk(b"eXIf", b"II*\0", broken=True),
    "resolution": _chunk(b"pHYs", b"\0"),
    "gamma": _chunk(b"gAMA", b""),
}


@pytest.mark.parametrize("kind", BROKEN_CHUNKS)
@pytest.mark.parametrize("place", [33, -12], ids=["before", "after"])
def test_a_broken_chunk_beside_the_pixels_says_nothing_against_them(tmp_path, write_tar, kind, place):
    whole = _encode(_upper_half_black())
    payload = whole[:place] + BROKEN_CHUNKS[kind] + whole[place:]
    write_tar(tmp_path / "0.tar", [("0.png", payload), ("0.txt", b"a")])
    dataset = _dataset(tmp_path)
    assert torch.equal(dataset[0]["image"], to_signed(decode_image(whole, 8)))
    assert not dataset.corrupt


@pytest.mark.parametrize("keep", [45, 60, -200])
def test_pixels_that_are_cut_off_are_not_mended(keep):
    payload = _encode(Image.effect_noise((64, 64), 50))
    broken = payload[:33] + BROKEN_CHUNKS["gamma"] + payload[33:keep]
    with pytest.raises(Exception, match=r"[Tt]runcated|broken|identify"):
        decode_image(broken, 64)


def test_wide_image_is_cropped_in_the_centre():
    image = Image.new("RGB", (12, 4), "red")
    image.paste("blue", (4, 0, 8, 4))
    assert np.unique(decode_image(_encode(image), 4).reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode_image(_encode(Image.fromarray(stripes)), 8)[:, 1:-1]
    assert np.abs(pixels.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("shape", [(1, 1), (400, 8)])
def test_odd_shapes(shape):
    assert decode_image(_encode(Image.new("RGB", shape)), 16).shape == (16, 16, 3)


@pytest.fixture
def damaged(tmp_path, write_tar, members, png):
    """Ten samples; the pixels of 2 and 6 are corrupt behind a good header."""
    parts = []
    for number in range(10):
        for name, payload in members(number):
            cut = payload[:45] if number in (2, 6) and name.endswith("png") else payload
            parts.append((name, cut))
    write_tar(tmp_path / "0.tar", parts)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_image_is_replaced_counted_and_logged_once(damaged, workers, caplog):
    expected = [sample["key"] for sample in map(_dataset(damaged).__getitem__, range(10))]
    dataset = _dataset(damaged)
    assert len(dataset) == 10
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        loader = DataLoader(dataset, 5, collate_fn=collate, num_workers=workers)
        epochs = [[key for batch in loader for key in batch["keys"]] for _ in range(2)]
    assert epochs[0] == epochs[1] == expected
    assert {n for n in range(10) if expected[n] != f"{n:09d}"} == {2, 6}
    assert not {"000000002", "000000006"} & set(expected)
    assert dataset.corrupt == [Problem(Defect.UNDECODABLE_IMAGE, "0.tar", f"{n:09d}") for n in (2, 6)]
    if workers == 0:
        named = [record.getMessage() for record in caplog.records if record.name == "ldmlab.data.shard_dataset"]
        assert [message.split(" ")[0] for message in named] == ["0.tar/000000002", "0.tar/000000006"]


def test_replacement_is_whole(damaged):
    dataset = _dataset(damaged)
    sample = dataset[2]
    number = dataset.meta(sample["row"])["number"]
    assert sample["caption"] == f"caption {number}"
    assert sample["image"][0, 0, 0] == torch.tensor(number / 127.5 - 1)


def test_nothing_but_corrupt_images_is_an_error(tmp_path, write_tar, members):
    parts = [(name, payload[:45] if name.endswith("png") else payload) for name, payload in members(0)]
    write_tar(tmp_path / "0.tar", parts)
    with pytest.raises(ValueError, match=f"images in a row in {tmp_path} cannot be decoded"):
        _dataset(tmp_path)[0]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_may_be_forked_or_spawned(tmp_path, write_shards, context):
    dataset = _dataset(write_shards(tmp_path, [4, 4]))
    dataset[0]
    loader = DataLoader(dataset, 4, collate_fn=collate, num_workers=1, multiprocessing_context=context)
    assert [key for batch in loader for key in batch["keys"]] == [f"{n:09d}" for n in range(8)]


def test_pickled_files_are_opened_again(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 3)
    files = ShardFiles(tmp_path, "abc", limit=2)
    assert [files.read(n, 1, 2) for n in (0, 1, 2, 0)] == [b"aa", b"bb", b"cc", b"aa"]
    assert pickle.loads(pickle.dumps(files)).read(2, 0, 9) == b"ccc"


def test_open_files_are_limited_and_closed(tmp_path):
    names = [str(n) for n in range(20)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    files = ShardFiles(tmp_path, names, limit=4)
    for n in range(20):
        files.read(n, 0, 1)
    assert len(os.listdir("/proc/self/fd")) == before + 4
    del files
    assert len(os.listdir("/proc/self/fd")) == before


def _remove(path):
    path.unlink()


def _cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def _overwrite(path):
    """Of the same size."""
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, (1, 1))


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_remove, "was removed while it was in use"),
        (_cut, "was changed while it was in use"),
        (_overwrite, "was changed while it was in use"),
        (_pipe, "cannot be read any more .is a pipe, no file"),
    ],
)
def test_a_shard_that_goes_away_in_a_run_is_named(tmp_path, write_shards, spoil, words, workers):
    dataset = _dataset(write_shards(tmp_path, [3, 3]))
    if workers == 0:
        dataset[0]
    spoil(tmp_path / "00001.tar")
    batches = iter(DataLoader(dataset, 2, collate_fn=collate, num_workers=workers))
    for _ in range(2):  # of samples 2 and 3, then of 4 and 5
        with pytest.raises(ValueError, match=rf"shard .*00001\.tar {words}.*: put it back as it was"):
            list(batches)
    assert not list(batches)  # which ends the worker; garbage collection would wait 5 s for it


def test_a_shard_that_is_cut_while_it_is_open_is_named(tmp_path, write_shards):
    dataset = _dataset(write_shards(tmp_path, [3]))
    dataset[0]
    _cut(tmp_path / "00000.tar")
    with pytest.raises(ValueError, match=r"00000\.tar was changed while it was in use"):
        dataset[2]


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_a_disk_that_goes_away_is_told_with_the_shard(tmp_path, write_shards, monkeypatch, number):
    dataset = _dataset(write_shards(tmp_path, [3]))
    dataset[0]

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(ValueError, match=rf"00000\.tar cannot be read any more \({os.strerror(number).lower()}\)"):
        dataset[1]


def test_an_index_that_points_elsewhere_is_told(tmp_path, write_shards):
    index = ShardIndex.build(write_shards(tmp_path, [3]), cache=False)
    index.columns.numbers["spans"][1, 3] -= 7
    with pytest.raises(ValueError, match=r"the json of 000000001 is not where the index has it: delete \.ldmlab_index"):
        ShardDataset(index, 8).meta(1)


def test_image_size_is_checked(tmp_path, write_shards):
    with pytest.raises(ValueError, match="image_size=0 must be at least 1"):
        _dataset(write_shards(tmp_path, [1]), 0)


def test_bytes_become_the_same_floats_wherever_they_do():
    every = torch.arange(256, dtype=torch.uint8)
    exact = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)
    assert torch.equal(signed(every), torch.from_numpy(exact))
