"""Mirror images in training: of pictures and of cached latents, and nowhere else."""

import logging

import pytest
import torch

from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.order.views import View
from ldmlab.data.shard_dataset import ShardDataset, collate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 training and 4 held-out pictures whose halves differ."""
    from ldmlab.data.writing.dataset_writer import write_shards
    from ldmlab.worlds.shapes.dataset import ShapesSource

    root = tmp_path_factory.mktemp("data")
    write_shards(ShapesSource(image_size=16, train=12, heldout=4), root)
    return root


@pytest.fixture
def dataset(folder):
    return ShardDataset(ShardIndex.build(folder / "train"), 16)


def data_of(folder, **options):
    return ShardDataModule(folder, 4, 16, num_workers=0, **options)


def encode(images):
    """Stands for an autoencoder; its means are the pixels themselves."""
    return images, images.abs() + 0.5


def test_a_mirror_image_is_the_same_sample_seen_otherwise(dataset):
    plain, mirrored = collate([dataset[View(5)]]), collate([dataset[View(5, mirrored=True)]])
    assert torch.equal(mirrored["images"], plain["images"].flip(-1))
    assert not torch.equal(mirrored["images"], plain["images"])
    assert all(mirrored[key] == plain[key] for key in ("captions", "keys", "rows"))
    assert torch.equal(dataset[View(5)]["image"], dataset[5]["image"])


@pytest.mark.parametrize("cached", [False, True])
def test_training_sees_them_and_validation_does_not(cached, folder, dataset, tmp_path):
    batches = {}
    for flip in (False, True):
        data = data_of(folder, flip=flip)
        if cached:
            encoder = LatentEncoder(encode, channels=3, factor=1, fingerprint="ae")
            data.use_latents(Caching(encoder, options=LatentOptions(tmp_path), keep_images=True))
        batches[flip] = [*data.train_dataloader(), *data.val_dataloader()]
    flipped = 0
    for plain, other in zip(batches[False][:3], batches[True][:3], strict=True):
        assert plain["rows"] == other["rows"]
        for key in ("images", "moments") if cached else ("images",):
            is_same = (other[key] == plain[key]).flatten(1).all(1)
            is_mirrored = (other[key] == plain[key].flip(-1)).flatten(1).all(1)
            assert (is_same | is_mirrored).all()
        flipped += int((~is_same).sum())
    assert 0 < flipped < 12
    for plain, other in zip(batches[False][3:], batches[True][3:], strict=True):
        key = "moments" if cached else "images"
        assert torch.equal(plain[key], other[key])


def test_a_run_goes_on_with_the_flips_that_it_began_with(folder):
    states = {flip: data_of(folder, flip=flip)._order_facts() for flip in (0.0, 0.5)}
    for flip, state in states.items():
        assert data_of(folder, flip=flip).require_same_order(state) is False
        with pytest.raises(ValueError, match=rf"trained with flip={flip}"):
            data_of(folder, flip=0.5 - flip).require_same_order(state)
    old = {name: value for name, value in states[0.0].items() if name != "flip"}
    assert data_of(folder).require_same_order(old) is False
    with pytest.raises(ValueError, match=r"flip=0\.0, this run has flip=0\.5"):
        data_of(folder, flip=True).require_same_order(old)


def test_captions_with_sides_are_told_of(folder, caplog):
    with caplog.at_level(logging.WARNING):
        data_of(folder).setup("fit")
        assert not caplog.records
        data_of(folder, flip=True).setup("fit")
    said = sum("left" in caption or "right" in caption for caption in data_of(folder).train_set.index.captions)
    assert said > 0
    assert f"data.flip=0.5: {said} of 12 captions say left or right" in caplog.text


@pytest.mark.parametrize("flip", [-0.1, 1.5])
def test_what_is_no_probability_is_refused(flip, folder):
    with pytest.raises(ValueError, match=rf"data\.flip={flip} is no probability"):
        data_of(folder, flip=flip)
