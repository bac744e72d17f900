import pytest
import torch
from torch.utils.data import DataLoader, Subset

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.cached_dataset import CachedLatents, as_is
from ldmlab.data.latents.latent_cache import latent_cache
from ldmlab.data.latents.text_cache import TextEncoder, text_cache
from ldmlab.data.latents.variants import Variants
from ldmlab.data.needs import Needs
from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.loaders import ResumableLoader
from ldmlab.data.order.views import View
from ldmlab.data.shard_dataset import ShardDataset, collate, signed

from .conftest import Autoencoder


@pytest.fixture
def cached(dataset, autoencoder, tmp_path):
    return CachedLatents(dataset.index, latent_cache(dataset, autoencoder.encoder, tmp_path / "cache"))


def test_batches_hold_moments_captions_and_keys(cached):
    batch = cached.__getitems__([7, View(0)])
    assert batch["moments"].shape == (2, 6, 2, 2)
    assert batch["captions"] == ["caption 7", "caption 0"]
    assert batch["keys"] == ["000000007", "000000000"]
    assert batch["rows"] == [7, 0]
    assert set(batch) == {"moments", "captions", "keys", "rows"}
    assert torch.equal(cached[7]["moments"], batch["moments"][:1])


def test_json_is_read_for_what_reads_it_alone(dataset, autoencoder, tmp_path, monkeypatch):
    root, read = dataset.index.root, ShardIndex.meta
    calls = []
    monkeypatch.setattr(ShardIndex, "meta", lambda *arguments: calls.append(1) or read(*arguments))
    for reads, wanted in ((frozenset(), 0), (frozenset({"meta"}), 2)):
        images = ShardDataset(ShardIndex.build(root, needs=Needs.of(reads)), 8)
        latents = CachedLatents(images.index, latent_cache(images, autoencoder.encoder, tmp_path / "cache"))
        for found in (collate([images[7], images[0]]), latents.__getitems__([7, 0])):
            assert [meta["number"] for meta in found.get("meta", [])] == [7, 0][:wanted]
        assert len(calls) == 2 * wanted
        calls.clear()


def test_images_are_given_beside_their_moments_where_asked(dataset, tmp_path):
    latents = latent_cache(dataset, Autoencoder().encoder, tmp_path / "cache", Variants(10, mirrored=True))
    batch = CachedLatents(dataset.index, latents, images=dataset).__getitems__([View(7), View(7, True), View(0)])
    assert torch.equal(signed(batch["images"]), torch.stack([dataset[view]["image"] for view in (7, View(7, True), 0)]))


def test_text_features_go_with_the_sample_that_is_seen(tmp_path, write_tar, members):
    parts = [
        (name, payload[:45] if name == "000000003.png" else payload) for n in range(6) for name, payload in members(n)
    ]
    write_tar(tmp_path / "0.tar", parts)
    dataset = ShardDataset(ShardIndex.build(tmp_path), 8)
    encoder = TextEncoder(
        lambda texts: {"vector": torch.tensor([[float(t[-1])] for t in texts])}, {"vector": (1,)}, "t"
    )
    cached = CachedLatents(
        dataset.index,
        latent_cache(dataset, Autoencoder().encoder, tmp_path / "latents"),
        text_cache(dataset.index, encoder, tmp_path / "text"),
    )
    batch = cached.__getitems__([2, 3])
    assert batch["rows"][0] == 2
    assert batch["rows"][1] != 3
    assert batch["vector"].flatten().tolist() == batch["rows"]
    assert batch["captions"] == [f"caption {row}" for row in batch["rows"]]


def test_keys_that_two_shards_share_are_told_apart(tmp_path, write_tar, members):
    """As two downloads in one folder do; the image of the second's first sample is corrupt."""
    for shard in range(2):
        parts = []
        for number in range(4):
            (image, pixels), (json, meta), (text, _) = members(number)
            pixels = members(number + 100 * shard)[0][1]
            cut = pixels[:45] if (shard, number) == (1, 0) else pixels
            parts += [(image, cut), (json, meta), (text, f"shard {shard}, {number}".encode())]
        write_tar(tmp_path / f"{shard}.tar", parts)
    dataset = ShardDataset(ShardIndex.build(tmp_path), 8)
    assert len(dataset) == 8
    cached = CachedLatents(dataset.index, latent_cache(dataset, Autoencoder().encoder, tmp_path / "l", batch_size=3))
    for row in range(8):
        batch = cached[row]
        shard, number = map(int, batch["captions"][0].removeprefix("shard ").split(", "))
        assert (shard, number) == divmod(row, 4) if row != 4 else (shard, number) != (1, 0)
        assert batch["rows"] == [4 * shard + number]
        assert batch["moments"][0, 0, 0, 0] == pytest.approx((number + 100 * shard) / 127.5 - 1, abs=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_fetches_whole_batches(cached, workers):
    batches = GlobalBatches(10, 4, seed=1)
    keys = [batch["keys"] for batch in ResumableLoader(cached, batches, as_is, workers)]
    assert keys == [[f"{view.row:09d}" for view in GlobalBatches(10, 4, seed=1).batch(n)] for n in range(2)]
    ordered = DataLoader(Subset(cached, range(5)), 3, collate_fn=as_is)
    assert [len(batch["keys"]) for batch in ordered] == [3, 2]
