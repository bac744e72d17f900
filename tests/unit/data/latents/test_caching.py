"""Caches of a run's splits as its DataModule opens them."""

import os
from io import BytesIO
from itertools import chain

import pytest
import torch
from PIL import Image

from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.filters.filter import Filter
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.latents.text_cache import TextEncoder
from ldmlab.data.needs import Needs
from ldmlab.data.shard_dataset import signed

ENCODER = LatentEncoder(lambda images: (images, images), channels=3, factor=1, fingerprint="ae")


def png(height, width, number):
    file = BytesIO()
    Image.linear_gradient("L").resize((width, height)).point(lambda value: (value + number) % 256).save(file, "png")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path, write_tar):
    """Pictures twice as wide as high, and twice as high as wide."""
    root = tmp_path / "data"
    for split, count in (("train", 12), ("heldout", 5)):
        sides = [(20, 40) if number % 3 else (40, 20) for number in range(count)]
        parts = [
            [(f"{n:09d}.png", png(*each, n)), (f"{n:09d}.txt", f"number {n}".encode())] for n, each in enumerate(sides)
        ]
        write_tar(root / split / "00000.tar", chain(*parts))
    return root


def data_of(folder, **options):
    options = {"batch_size": 4, "image_size": 8, "num_workers": 0, "val_samples": 5} | options
    return ShardDataModule(folder, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


@pytest.mark.parametrize("flip", [0, 0.5])
def test_batches_of_buckets_are_those_of_the_pictures(folder, flip):
    options = {"buckets": [[8, 16], [16, 8]], "flip": flip}
    pictures, latents = data_of(folder, **options), data_of(folder, **options)
    latents.use_latents(Caching(ENCODER, keep_images=True))
    mirrored = "-mirrored" if flip else ""
    assert names(folder / "train") == [f"latents-train-16x8{mirrored}-ae", f"latents-train-8x16{mirrored}-ae"]
    loaders = [
        chain(data.train_dataloader(), data.train_dataloader(), data.val_dataloader()) for data in (pictures, latents)
    ]
    shapes = set()
    for plain, cached in zip(*loaders, strict=True):
        assert cached["rows"] == plain["rows"]
        assert cached["captions"] == plain["captions"]
        assert torch.equal(cached["images"], plain["images"])
        assert torch.equal(cached["moments"][:, :3], signed(plain["images"]).half().float())
        shapes.add(tuple(cached["moments"].shape[-2:]))
    assert shapes == {(8, 16), (16, 8)}


def test_buckets_of_other_samples_are_refused(folder):
    data_of(folder, buckets=[[8, 16], [16, 8]]).use_latents(Caching(ENCODER))
    with pytest.raises(
        ValueError, match=r"latents-train-8x16-ae: holds a cache of samples=8, and this run has samples=12"
    ):
        data_of(folder, buckets=[[8, 16]]).use_latents(Caching(ENCODER))


def test_nothing_is_encoded_before_all_that_is_stale_is_refused(folder, tmp_path):
    named = LatentOptions(tmp_path / "named")
    data_of(folder).use_latents(Caching(ENCODER, options=named))
    encoded = []
    other = ENCODER._replace(fingerprint="other", moments=lambda images: encoded.append(1))
    for split in ("train", "heldout"):
        with pytest.raises(ValueError, match=rf"named/latents-{split}-8: holds a cache of autoencoder=ae, .*=other"):
            data_of(folder).use_latents(Caching(other, options=named))
        (tmp_path / f"named/latents-{split}-8/manifest.json").unlink()
    assert not encoded


def test_beside_the_shards_each_autoencoder_has_caches_of_its_own(folder):
    for fingerprint in ("a" * 64, "b" * 64, "a" * 64):
        data_of(folder).use_latents(Caching(ENCODER._replace(fingerprint=fingerprint)))
    assert names(folder / "train") == [f"latents-train-8-{letter * 12}" for letter in "ab"]


def test_samples_that_a_filter_takes_have_caches_of_their_own(folder):
    for _ in range(2):
        for chosen in (None, Filter("image_width > image_height"), Filter("image_width < image_height")):
            data = data_of(folder, filter=chosen, batch_size=2)
            data.use_latents(Caching(ENCODER))
    caches = [name for name in names(folder / "train") if name.startswith("latents-")]
    assert len(caches) == 3
    assert "latents-train-8-ae" in caches


def test_text_features_lie_beside_and_go_into_batches(folder):
    text = TextEncoder(
        lambda captions: {"vector": torch.tensor([[float(c[7:])] for c in captions])}, {"vector": (1,)}, "t"
    )
    data = data_of(folder)
    data.use_latents(Caching(ENCODER, text))
    assert names(folder / "train") == ["latents-train-8-ae", "text-train-t"]
    for batch in chain(data.train_dataloader(), data.val_dataloader()):
        assert batch["vector"].flatten().tolist() == [float(caption[7:]) for caption in batch["captions"]]


def test_caches_are_in_the_run_s_folder_where_the_data_may_only_be_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(folder)))
    spare = tmp_path / "run"
    data_of(folder).use_latents(Caching(ENCODER, spare=spare))
    assert names(spare) == ["latents-heldout-8-ae", "latents-train-8-ae"]
    named = tmp_path / "named"
    data_of(folder).use_latents(Caching(ENCODER, options=LatentOptions(named), spare=spare))
    assert names(named) == ["latents-heldout-8", "latents-train-8"]
    monkeypatch.undo()
    data_of(folder).use_latents(Caching(ENCODER, spare=spare))
    assert "latents-train-8-ae" in names(folder / "train")


def test_what_need_not_be_read_is_in_a_cache_of_its_own(folder, write_tar):
    parts = [[(f"{n:09d}.png", png(20, 40, n))] + [(f"{n:09d}.txt", b"x")] * (n > 1) for n in range(6)]
    write_tar(folder / "train" / "00001.tar", chain(*parts))
    for needs in (Needs(), Needs(captions=False), Needs()):
        data = data_of(folder)
        data.needs = needs
        data.use_latents(Caching(ENCODER))
        assert len(data.train_set) == (16 if needs.captions else 18)
