"""Random crops in training: of the pictures' room alone, by the place in the run, and not in validation."""

from io import BytesIO
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image

from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.decoding.decode import decode_image
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.order.crops import require_crop
from ldmlab.data.order.views import View
from ldmlab.data.shard_dataset import ShardDataset, signed


def png(pixels):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def ramp(height, width):
    """A picture in which red says the column and green the row."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return pixels


@pytest.mark.parametrize(("down", "across"), [(0.5, 0.5), (0.0, 0.0), (0.25, 1.0), (1.0, 0.75)])
@pytest.mark.parametrize(("height", "width"), [(8, 40), (40, 8), (8, 8)])
def test_a_crop_lies_where_it_is_asked_for(down, across, height, width):
    found = decode_image(png(ramp(height, width)), 8, down, across)
    top, left = round(down * (height - 8)), round(across * (width - 8))
    assert np.array_equal(found, ramp(height, width)[top : top + 8, left : left + 8])


@pytest.mark.parametrize("size", [(4, 12), (12, 4), (6, 6)])
def test_a_view_may_be_of_another_size(size):
    assert decode_image(png(ramp(30, 30)), size).shape == (*size, 3)


@pytest.fixture
def folder(tmp_path, write_tar):
    for split, count in (("train", 12), ("heldout", 4)):
        (tmp_path / split).mkdir()
        parts = [((f"{n:09d}.png", png(ramp(16, 50))), (f"{n:09d}.txt", b"a ramp")) for n in range(count)]
        write_tar(tmp_path / split / "00000.tar", chain(*parts))
    return tmp_path


def data_of(folder, **options):
    return ShardDataModule(folder, 4, 16, num_workers=0, **options)


def test_training_crops_anew_in_each_epoch_and_validation_in_the_centre(folder):
    data = data_of(folder, crop="random")
    loader = data.train_dataloader()
    first, second = ([*loader], [*loader])
    dataset = ShardDataset(ShardIndex.build(folder / "train"), 16)
    seen = {}
    for batch in first + second:
        for row, image in zip(batch["rows"], batch["images"], strict=True):
            seen.setdefault(row, []).append(image)
    assert sum(not torch.equal(*images) for images in seen.values()) > 8, "a few may lie at the same place twice"
    of_views = [dataset[view]["image"] for view in data._batches().batch(0)]
    assert torch.equal(torch.stack(of_views), signed(first[0]["images"]))
    centred = ShardDataset(ShardIndex.build(folder / "heldout"), 16)
    (held,) = data.val_dataloader()
    assert torch.equal(signed(held["images"]), torch.stack([centred[View(row)]["image"] for row in range(4)]))


def test_a_run_goes_on_with_the_crops_that_it_began_with(folder):
    states = {crop: data_of(folder, crop=crop)._order_facts() for crop in ("center", "random")}
    assert data_of(folder, crop="random").require_same_order(states["random"]) is False
    with pytest.raises(ValueError, match=r"trained with crop=center, this run has crop=random"):
        data_of(folder, crop="random").require_same_order(states["center"])
    old = {name: value for name, value in states["center"].items() if name != "crop"}
    assert data_of(folder).require_same_order(old) is False


def test_what_is_no_crop_is_refused():
    with pytest.raises(ValueError, match=r"data\.crop=corner: there is no such way to crop; give center or random"):
        require_crop("corner")


@pytest.mark.parametrize(
    ("crop", "crops", "told"),
    [
        ("random", None, r"data\.crop=random: .*latents\.crops=8.*cache_latents=false"),
        ("center", 4, r"latents\.crops=4: data\.crop=center .*data\.crop=random"),
    ],
)
def test_crops_that_are_drawn_and_those_that_are_cached_go_together(folder, crop, crops, told):
    with pytest.raises(ValueError, match=told):
        data_of(folder, crop=crop).keep_crops(crops)


def test_training_takes_the_cached_crops_in_turn(folder, tmp_path):
    encoder = LatentEncoder(lambda images: (images, images), channels=3, factor=1, fingerprint="ae")
    data = data_of(folder, crop="random")
    data.use_latents(Caching(encoder, options=LatentOptions(tmp_path, crops=3)))
    seen: dict[int, set[bytes]] = {}
    loader = data.train_dataloader()
    for _ in range(12):
        for batch in loader:
            for row, moments in zip(batch["rows"], batch["moments"], strict=True):
                seen.setdefault(row, set()).add(moments.numpy().tobytes())
    assert max(map(len, seen.values())) == 3
    state = data._order_facts()
    assert state["crops"] == 3
    other = data_of(folder, crop="random")
    with pytest.raises(ValueError, match="trained with crops=3, this run has crops=0"):
        other.require_same_order(state)
