import io
import logging
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ldmlab.data.dataset import ShardDataset, collate
from ldmlab.data.decode import decode_image
from ldmlab.data.index import ShardIndex
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shard_files import ShardFiles


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
        assert sample["key"] == f"{number:09d}" == sample["meta"]["key"]


def test_collate_stacks(tmp_path, write_shards):
    dataset = _dataset(write_shards(tmp_path, [3]))
    batch = collate([dataset[2], dataset[0]])
    assert batch["images"].shape == (2, 3, 8, 8)
    assert batch["captions"] == ["caption 2", "caption 0"]
    assert batch["keys"] == ["000000002", "000000000"]
    assert [meta["number"] for meta in batch["meta"]] == [2, 0]


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
        named = [record.getMessage() for record in caplog.records if record.name == "ldmlab.data.dataset"]
        assert [message.split(" ")[0] for message in named] == ["0.tar/000000002", "0.tar/000000006"]


def test_replacement_is_whole(damaged):
    sample = _dataset(damaged)[2]
    number = sample["meta"]["number"]
    assert sample["caption"] == f"caption {number}"
    assert sample["image"][0, 0, 0] == torch.tensor(number / 127.5 - 1)


def test_nothing_but_corrupt_images_is_an_error(tmp_path, write_tar, members):
    parts = [(name, payload[:45] if name.endswith("png") else payload) for name, payload in members(0)]
    write_tar(tmp_path / "0.tar", parts)
    with pytest.raises(ValueError, match=f"images in a row in {tmp_path} cannot be decoded"):
        _dataset(tmp_path)[0]


@pytest.mark.parametrize("context", ["fork", "spawn"])
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


def test_image_size_is_checked(tmp_path, write_shards):
    with pytest.raises(ValueError, match="image_size=0 must be at least 1"):
        _dataset(write_shards(tmp_path, [1]), 0)
