"""Buckets of a folder of pictures: sorted by their headers, trained on, validated on, and cached."""

import itertools
import logging
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.filters.filter import Filter
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.order.bucket_selection import buckets_of, summary
from ldmlab.data.shard_dataset import signed

SIZES = ((8, 16), (12, 12), (16, 8))
SHAPES = ((10, 30), (20, 20), (30, 10))
"""Heights and widths of the pictures, one of each in turn; every tenth is a lying one that stands by its EXIF."""


def picture(number):
    height, width = SHAPES[number % 3]
    image = Image.new("RGB", (width, height), (number, 255 - number, 7))
    exif = image.getexif()
    if number % 10 == 9:
        exif[0x0112] = 6
        image = image.transpose(Image.Transpose.ROTATE_90)
    file = BytesIO()
    image.save(file, "png", exif=exif)
    return file.getvalue()


def members(number):
    key = f"{number:09d}"
    return [
        (f"{key}.png", picture(number)),
        (f"{key}.txt", b"a picture"),
        (f"{key}.json", b'{"number": %d}' % number),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_tar):
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 60), ("heldout", 14)):
        write_tar(root / split / "00000.tar", itertools.chain(*map(members, range(count))))
    return root


def data_of(folder, **options):
    given = {"batch_size": 4, "image_size": 12, "num_workers": 0, "buckets": [*map(list, SIZES)]}
    return ShardDataModule(folder, **{**given, **options})


def size_of(row):
    return SIZES[row % 3]


def test_pictures_are_sorted_as_they_are_shown(folder):
    index = ShardIndex.build(folder / "train")
    for _ in range(2):  # found, and as it was stored
        buckets = buckets_of(index, SIZES)
        assert buckets.sizes == SIZES
        assert [rows[np.arange(20)].tolist() for rows in buckets.rows] == [[*range(first, 60, 3)] for first in range(3)]
    assert summary(buckets) == "samples by height and width: 8x16 20, 12x12 20, 16x8 20"


def test_rows_are_those_of_a_filtered_index(folder):
    index = ShardIndex.build(folder / "train")
    few = index.where("from 30 on", lambda start, stop: np.arange(start, stop) >= 30)
    buckets = buckets_of(few, SIZES)
    assert buckets.rows[1][np.arange(3)].tolist() == [1, 4, 7]
    assert [few.keys[row] for row in (1, 4)] == ["000000031", "000000034"]
    alone = buckets_of(few.where("wide", lambda start, stop: np.arange(start, stop) % 3 == 0), SIZES)
    assert alone.sizes == SIZES[:1]
    assert alone.rows[0][np.arange(10)].tolist() == [*range(10)]


def test_small_buckets_are_joined_to_others(folder):
    index = ShardIndex.build(folder / "train")
    wide = index.where(
        "most wide", lambda start, stop: (np.arange(start, stop) % 3 == 0) | (np.arange(start, stop) < 7)
    )
    buckets = buckets_of(wide, SIZES, least=8)
    assert buckets.sizes == SIZES[:1]
    assert len(buckets.rows[0]) == len(wide) == 24


@pytest.mark.parametrize("workers", [0, 2])
def test_each_batch_is_of_one_size_in_training_and_validation(folder, workers, caplog):
    with caplog.at_level(logging.INFO):
        data = data_of(folder, num_workers=workers)
        batches = [*data.train_dataloader()]
    assert caplog.text.count("samples by height and width: 8x16 20, 12x12 20, 16x8 20") == 1
    assert len(batches) == data.epoch_batches == 15
    assert sorted(row for batch in batches for row in batch["rows"]) == [*range(60)]
    held = [*data.val_dataloader()]
    assert sorted(row for batch in held for row in batch["rows"]) == [*range(14)]
    for batch in [*batches, *held]:
        assert {size_of(row) for row in batch["rows"]} == {tuple(batch["images"].shape[-2:])}
        colours = batch["images"][:, 0, 4, 4].tolist()
        assert colours == batch["rows"]


def test_a_bucket_takes_what_a_filter_leaves(folder):
    data = data_of(folder, filter=Filter("number >= 20"))
    rows = sorted(row for batch in data.train_dataloader() for row in batch["rows"])
    assert len(rows) == 4 * data.epoch_batches == 36
    assert all(data.train_set[row]["key"] == f"{row + 20:09d}" for row in rows[:3])


def test_cached_latents_are_those_of_the_pictures(folder, tmp_path):
    encoder = LatentEncoder(lambda images: (images, images.abs()), 3, 1, "ae")
    for flip in (0.0, 0.5):
        plain, cached = (data_of(folder, flip=flip) for _ in range(2))
        for _ in range(2):  # made, and opened
            cached.use_latents(Caching(encoder, spare=tmp_path, keep_images=True))
        for loaders in (
            (plain.train_dataloader(), cached.train_dataloader()),
            (plain.val_dataloader(), cached.val_dataloader()),
        ):
            for seen, latents in zip(*loaders, strict=True):
                assert latents["rows"] == seen["rows"]
                assert latents["keys"] == seen["keys"]
                assert torch.equal(latents["images"], seen["images"])
                assert torch.equal(latents["moments"][:, :3], signed(seen["images"]).half().float())


def test_a_run_goes_on_with_its_own_buckets(folder):
    facts = data_of(folder)._order_facts()
    assert facts["buckets"] == "8x16 12x12 16x8"
    assert data_of(folder).require_same_order(facts) is False
    with pytest.raises(ValueError, match=r"trained with buckets=8x16 12x12 16x8, this run has buckets=none"):
        data_of(folder, buckets=None).require_same_order(facts)
    old = {name: value for name, value in data_of(folder, buckets=None)._order_facts().items() if name != "buckets"}
    assert data_of(folder, buckets=None).require_same_order(old) is False
