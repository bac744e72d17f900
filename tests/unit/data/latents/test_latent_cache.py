import logging

import pytest
import torch

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.latent_cache import latent_cache
from ldmlab.data.latents.variants import Variants
from ldmlab.data.order.views import View
from ldmlab.data.shard_dataset import ShardDataset

from .conftest import Autoencoder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected(dataset, view):
    mean, std = Autoencoder().encoder.moments(dataset[view]["image"][None])
    return torch.cat([mean, std], 1)[0].half()


@torch.no_grad()
def test_moments_are_those_of_the_samples(dataset, autoencoder, tmp_path):
    cache = latent_cache(dataset, autoencoder.encoder, tmp_path / "cache", batch_size=3)
    assert (len(cache), autoencoder.images) == (10, 10)
    rows, moments = cache.take([View(7), View(0)])
    assert rows == [7, 0]
    assert (moments.shape, moments.dtype) == ((2, 6, 2, 2), torch.float16)
    assert torch.equal(moments, torch.stack([expected(dataset, row) for row in (7, 0)]))


@torch.no_grad()
def test_mirror_images_and_crops_are_there_as_well(tmp_path, write_tar):
    from io import BytesIO

    from PIL import Image

    wide = Image.linear_gradient("L").rotate(90).resize((40, 16)).convert("RGB")
    buffer = BytesIO()
    wide.save(buffer, "PNG")
    write_tar(
        tmp_path / "0.tar", [part for n in range(3) for part in ((f"{n}.png", buffer.getvalue()), (f"{n}.txt", b"x"))]
    )
    dataset = ShardDataset(ShardIndex.build(tmp_path), 8)
    variants = Variants(3, mirrored=True, crops=4)
    autoencoder = Autoencoder()
    cache = latent_cache(dataset, autoencoder.encoder, tmp_path / "cache", variants)
    assert (len(cache), autoencoder.images) == (24, 24)
    asked = View(1, True, down=0.3, across=0.8)
    seen = cache.seen(asked)
    assert (seen.row, seen.mirrored) == (1, True)
    assert seen.across not in (0.5, asked.across)
    assert torch.equal(cache.take([asked])[1][0], expected(dataset, seen))
    centre = cache.take([View(1), View(1, True)])[1]
    assert not torch.equal(centre[0], centre[1])


def test_variants_number_each_look_once():
    variants = Variants(5, mirrored=True, crops=3)
    views = [variants.view(number) for number in range(len(variants))]
    assert len(set(views)) == len(variants) == 30
    places = {(view.row, view.down, view.across) for view in views}
    assert len(places) == 15  # a picture and its mirror image are cropped alike
    downs = {variants.number(View(2, False, down=down)) // 10 for down in (0.0, 0.2, 0.4, 0.6, 0.99, 1.0)}
    assert downs == {0, 1, 2}
    assert [Variants(5).number(View(row, down=0.9)) for row in range(5)] == [*range(5)]
    assert Variants(5, mirrored=True).view(7) == View(2, True)


def test_cache_is_used_while_nothing_it_depends_on_changes(dataset, autoencoder, tmp_path, write_shards):
    folder = tmp_path / "cache"
    first = latent_cache(dataset, autoencoder.encoder, folder)
    again = latent_cache(dataset, autoencoder.encoder, folder)
    assert autoencoder.images == 10
    views = [View(row) for row in range(10)]
    assert torch.equal(again.take(views)[1], first.take(views)[1])
    more = ShardDataset(ShardIndex.build(write_shards(tmp_path / "more", [9])), 8)
    for told, change in {
        "autoencoder=ae, and this run has autoencoder=other": {"encoder": Autoencoder("other").encoder},
        "image_size=8, and this run has image_size=16": {"dataset": ShardDataset(dataset.index, 16)},
        "samples=10, and this run has samples=9": {"dataset": more},
        "crops=1, and this run has crops=2": {"variants": Variants(10, crops=2)},
        "mirrored=False, and this run has mirrored=True": {"variants": Variants(10, mirrored=True)},
    }.items():
        arguments = {"dataset": dataset, "encoder": autoencoder.encoder, "folder": folder} | change
        with pytest.raises(ValueError, match=told):
            latent_cache(**arguments)
    assert latent_cache(more, autoencoder.encoder, folder, rebuild=True).take([View(8)])[0] == [8]
    assert autoencoder.images == 19


def test_a_part_that_is_lost_or_damaged_is_made_again_alone(many, autoencoder, tmp_path):
    folder = tmp_path / "cache"
    latent_cache(many, autoencoder.encoder, folder)
    before = files(folder)
    (folder / "000000.npy").unlink()
    (folder / "000002.npy").write_bytes(b"\x93NUMPY")
    again = Autoencoder()
    latent_cache(many, again.encoder, folder)
    assert again.images == 64 + 22
    assert files(folder) == before


def test_what_is_done_stays_where_a_run_dies(many, tmp_path):
    """In the second file of three."""
    whole = Autoencoder()
    latent_cache(many, whole.encoder, tmp_path / "whole")
    dying = Autoencoder()

    def until_killed(batches):
        for number, batch in enumerate(batches):
            if number == 9:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        latent_cache(many, dying.encoder, tmp_path / "cache", batch_size=8, progress=until_killed)
    assert dying.images == 72
    after = Autoencoder()
    latent_cache(many, after.encoder, tmp_path / "cache", batch_size=64)
    assert after.images == 150 - 64
    assert files(tmp_path / "cache") == files(tmp_path / "whole")


def test_ranks_share_the_work_and_go_on_with_what_others_began(many, tmp_path, on_ranks):
    latent_cache(many, Autoencoder().encoder, tmp_path / "one")

    def build(ranks):
        autoencoder = Autoencoder()
        latent_cache(many, autoencoder.encoder, tmp_path / "two", ranks=ranks)
        return autoencoder.images

    assert on_ranks(2, build) == [64 + 22, 64]
    assert files(tmp_path / "two") == files(tmp_path / "one")
    (tmp_path / "two/000001.npy").unlink()
    assert sorted(on_ranks(2, build)) == [0, 64]
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_hosts_that_do_not_see_each_others_files_each_have_all(many, tmp_path, on_ranks, monkeypatch):
    latent_cache(many, Autoencoder().encoder, tmp_path / "one")

    def build(ranks):
        monkeypatch.setattr("ldmlab.data.latents.filling.PATIENCE", 0.1)
        monkeypatch.setattr("ldmlab.data.latents.filling.gethostname", lambda: f"host{ranks.rank}")
        folder, autoencoder = tmp_path / f"disk{ranks.rank}", Autoencoder()
        latent_cache(many, autoencoder.encoder, folder, ranks=ranks)
        return autoencoder.images

    assert on_ranks(2, build) == [150, 150]
    for rank in range(2):
        found = files(tmp_path / f"disk{rank}")
        assert {name: found[name] for name in found if name[0] == "0"} == {
            name: content for name, content in files(tmp_path / "one").items() if name[0] == "0"
        }


def test_latents_that_are_not_finite_are_refused(dataset, autoencoder, tmp_path):
    encoder = autoencoder.encoder._replace(moments=lambda images: (images[..., ::4, ::4], images[..., ::4, ::4] * 1e6))
    with pytest.raises(ValueError, match=r"not finite in float16 \(std\)"):
        latent_cache(dataset, encoder, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("0*.npy"))


@pytest.mark.parametrize(
    ("name", "value"), [("row", 10), ("row", -1), ("moments", float("nan")), ("moments", float("inf"))]
)
def test_records_that_nobody_encoded_are_refused(dataset, autoencoder, tmp_path, name, value):
    """They may be a stranger's, checksums and all."""
    folder = tmp_path / "cache"
    cache = latent_cache(dataset, autoencoder.encoder, folder)
    records = cache.parts.read(0).copy()
    records[name][4] = value
    cache.parts.write(0, records)
    cache.take([View(3)])
    with pytest.raises(ValueError, match=r"cache: holds what nobody encoded; remove it"):
        cache.take([View(3), View(4)])


def test_corrupt_images_keep_latent_and_row_together_and_are_named(tmp_path, write_tar, members, caplog):
    parts = [
        (name, payload[:45] if name == "000000003.png" else payload) for n in range(6) for name, payload in members(n)
    ]
    write_tar(tmp_path / "0.tar", parts)
    for _ in range(2):  # the second time from the files
        dataset = ShardDataset(ShardIndex.build(tmp_path), 8)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            cache = latent_cache(dataset, Autoencoder().encoder, tmp_path / "cache", Variants(6, mirrored=True))
        assert "1 undecodable image (first: 0.tar/000000003)" in caplog.text
        [row], moments = cache.take([View(3)])
        assert row != 3
        assert moments[0, 0, 0, 0] == pytest.approx(row / 127.5 - 1, abs=1e-3)


def test_progress_sees_every_batch(dataset, autoencoder, tmp_path):
    seen = []

    def progress(batches):
        for batch in batches:
            seen.append((len(batch["keys"]), len(batches)))
            yield batch

    latent_cache(dataset, autoencoder.encoder, tmp_path / "cache", batch_size=4, progress=progress)
    assert seen == [(4, 3), (4, 3), (2, 3)]


def test_a_full_disk_is_told_of_and_keeps_what_there_is(many, autoencoder, tmp_path, monkeypatch):
    import errno

    latent_cache(many, autoencoder.encoder, tmp_path / "cache")
    before = files(tmp_path / "cache")
    (tmp_path / "cache/000001.npy").unlink()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ldmlab.atomic.os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device; nothing half-written is left.*000001\.npy"):
        latent_cache(many, autoencoder.encoder, tmp_path / "cache")
    assert files(tmp_path / "cache") == {name: before[name] for name in before if name != "000001.npy"}


def test_a_cache_that_is_made_anew_under_a_run_ends_it(many, autoencoder, tmp_path):
    """Its files have the same shapes, and those that the run has not yet opened are others now."""
    cache = latent_cache(many, autoencoder.encoder, tmp_path / "cache")
    cache.take([View(3)])
    latent_cache(many, Autoencoder("other").encoder, tmp_path / "cache", rebuild=True)
    cache.take([View(3)])
    with pytest.raises(ValueError, match=r"000001\.npy: record 6 does not have its checksum"):
        cache.take([View(70)])
