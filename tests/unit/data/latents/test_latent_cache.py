import logging
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.latent_cache import as_is, build_latent_cache
from ldmlab.data.order.batch_order import GlobalBatches
from ldmlab.data.order.loaders import ResumableLoader
from ldmlab.data.shard_dataset import ShardDataset


class Encoder:
    """Stands for an autoencoder: means are averages of 4 x 4 pixels; counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images):
        assert not torch.is_grad_enabled()
        self.calls += 1
        mean = torch.nn.functional.avg_pool2d(images, 4)
        return mean, mean.abs() + 0.5


@pytest.fixture
def dataset(tmp_path, write_shards):
    return ShardDataset(ShardIndex.build(write_shards(tmp_path / "shards", [5, 5])), 8)


def _expected(dataset, row):
    mean, std = Encoder()(dataset[row]["image"][None])
    return torch.cat([mean, std], 1)[0].half().float()


def test_batches_hold_the_moments_of_their_samples(dataset, tmp_path):
    with torch.no_grad():
        cached = build_latent_cache(dataset, Encoder(), tmp_path / "l.safetensors", "ae", batch_size=3)
        assert len(cached) == 10
        batch = cached.__getitems__([7, 0])
        assert batch["moments"].shape == (2, 6, 2, 2)
        assert batch["moments"].dtype == torch.float32
        assert torch.equal(batch["moments"], torch.stack([_expected(dataset, row) for row in (7, 0)]))
    assert batch["captions"] == ["caption 7", "caption 0"]
    assert batch["keys"] == ["000000007", "000000000"]
    assert [meta["number"] for meta in batch["meta"]] == [7, 0]
    assert torch.equal(cached[7]["moments"], batch["moments"][:1])


def test_file_holds_float16_mean_and_std(dataset, tmp_path):
    build_latent_cache(dataset, Encoder(), tmp_path / "l.safetensors", "ae")
    tensors = load_file(tmp_path / "l.safetensors")
    assert {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()} == {
        "mean": ((10, 3, 2, 2), torch.float16),
        "std": ((10, 3, 2, 2), torch.float16),
        "rows": ((10,), torch.int64),
    }
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["l.safetensors"]


def test_cache_is_used_while_nothing_it_depends_on_changes(dataset, tmp_path, write_shards):
    path, encoder = tmp_path / "l.safetensors", Encoder()

    def build(data=dataset, fingerprint="ae"):
        before = encoder.calls
        return build_latent_cache(data, encoder, path, fingerprint), encoder.calls - before

    first, calls = build()
    assert calls == 1
    again, calls = build()
    assert calls == 0
    assert torch.equal(again.moments, first.moments)
    assert again.rows == first.rows
    for change in (
        {"fingerprint": "other"},
        {"data": ShardDataset(dataset.index, 16)},
        {"data": ShardDataset(ShardIndex.build(write_shards(tmp_path / "more", [9])), 8)},
    ):
        assert build(**change)[1] == 1, change
        assert build()[1] == 1


@pytest.mark.parametrize("keep", [0, 7, 200])
def test_broken_cache_is_made_again(dataset, tmp_path, keep):
    path = tmp_path / "l.safetensors"
    first = build_latent_cache(dataset, Encoder(), path, "ae")
    path.write_bytes(path.read_bytes()[:keep])
    encoder = Encoder()
    assert torch.equal(build_latent_cache(dataset, encoder, path, "ae").moments, first.moments)
    assert encoder.calls == 1
    assert len(load_file(path)) == 3


def test_cache_that_cannot_be_stored_stays_in_memory(dataset, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        cached = build_latent_cache(dataset, Encoder(), tmp_path / "absent" / "l.safetensors", "ae")
    assert len(cached) == 10
    assert "kept in memory only" in caplog.text


def test_latents_that_are_not_finite_are_refused(dataset, tmp_path):
    path = tmp_path / "l.safetensors"
    with pytest.raises(ValueError, match=r"not finite in float16 \(std\)"):
        build_latent_cache(dataset, lambda images: (images, images.abs() * 1e6), path, "ae")
    assert not path.exists()


def test_progress_sees_every_batch(dataset, tmp_path):
    seen = []

    def progress(batches):
        for batch in batches:
            seen.append(len(batch["keys"]))
            yield batch

    build_latent_cache(dataset, Encoder(), tmp_path / "l.safetensors", "ae", batch_size=4, progress=progress)
    assert seen == [4, 4, 2]


def test_corrupt_image_keeps_latent_and_caption_together(tmp_path, write_tar, members):
    parts = [
        (name, payload[:45] if name == "000000003.png" else payload) for n in range(6) for name, payload in members(n)
    ]
    write_tar(tmp_path / "0.tar", parts)
    dataset = ShardDataset(ShardIndex.build(tmp_path), 8)
    cached = build_latent_cache(dataset, Encoder(), tmp_path / "l.safetensors", "ae")
    sample = cached[3]
    number = sample["meta"][0]["number"]
    assert number != 3
    assert sample["captions"] == [f"caption {number}"]
    assert sample["moments"][0, 0, 0, 0] == pytest.approx(number / 127.5 - 1, abs=1e-3)


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
    cached = build_latent_cache(dataset, Encoder(), tmp_path / "l.safetensors", "ae", batch_size=3)
    for row in range(8):
        batch = cached[row]
        shard, number = map(int, batch["captions"][0].removeprefix("shard ").split(", "))
        assert (shard, number) == divmod(row, 4) if row != 4 else (shard, number) != (1, 0)
        assert batch["rows"] == [4 * shard + number]
        assert batch["moments"][0, 0, 0, 0] == pytest.approx((number + 100 * shard) / 127.5 - 1, abs=1e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: {"rows": t["rows"] + 10},
        lambda t: {"rows": t["rows"] - 1},
        lambda t: {"rows": t["rows"].int()},
        lambda t: {"rows": t["rows"][:5]},
        lambda t: {name: t[name][:5] for name in t},
        lambda t: {"std": t["std"][:, :1]},
        lambda t: {"mean": t["mean"].float()},
        lambda t: {"mean": t["mean"] * float("nan")},
        lambda t: {"mean": t["mean"].flatten(1), "std": t["std"].flatten(1)},
    ],
)
def test_a_cache_that_does_not_fit_is_made_again(dataset, tmp_path, spoil):
    """It may be a stranger's, and say anything."""
    path = tmp_path / "l.safetensors"
    first = build_latent_cache(dataset, Encoder(), path, "ae")
    with safe_open(path, "pt") as stored:
        facts = stored.metadata()
    tensors = load_file(path)
    save_file({name: tensor.contiguous() for name, tensor in (tensors | spoil(tensors)).items()}, path, facts)
    encoder = Encoder()
    assert torch.equal(build_latent_cache(dataset, encoder, path, "ae").moments, first.moments)
    assert encoder.calls == 1


def test_a_pipe_in_the_place_of_the_cache_is_replaced(dataset, tmp_path):
    path = tmp_path / "l.safetensors"
    os.mkfifo(path)
    build_latent_cache(dataset, Encoder(), path, "ae")
    assert len(load_file(path)) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_fetches_whole_batches(dataset, tmp_path, workers):
    cached = build_latent_cache(dataset, Encoder(), tmp_path / "l.safetensors", "ae")
    batches = GlobalBatches(10, 4, seed=1)
    keys = [batch["keys"] for batch in ResumableLoader(cached, batches, as_is, workers)]
    assert keys == [[f"{view.row:09d}" for view in GlobalBatches(10, 4, seed=1).batch(n)] for n in range(2)]
    ordered = DataLoader(torch.utils.data.Subset(cached, range(5)), 3, collate_fn=as_is)
    assert [len(batch["keys"]) for batch in ordered] == [3, 2]


def test_images_are_given_beside_their_moments_where_asked(dataset, tmp_path):
    build = [dataset, Encoder(), tmp_path / "l.safetensors", "ae"]
    assert "images" not in build_latent_cache(*build)[0]
    batch = build_latent_cache(*build, keep_images=True).__getitems__([7, 0])
    assert torch.equal(batch["images"], torch.stack([dataset[row]["image"] for row in (7, 0)]))
    with torch.no_grad():
        assert torch.equal(batch["moments"], torch.stack([_expected(dataset, row) for row in (7, 0)]))
