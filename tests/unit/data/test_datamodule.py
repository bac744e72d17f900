import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.filters.filter import Filter
from ldmlab.data.index import selection
from ldmlab.data.index.fingerprints import fingerprint
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.latent_cache import LatentEncoder
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.needs import Needs
from ldmlab.data.order.batch_order import GlobalBatches

SAMPLES, BATCH = 22, 4
EPOCH = SAMPLES // BATCH


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_shards):
    root = tmp_path_factory.mktemp("data")
    write_shards(root / "train", [12, 10])
    write_shards(root / "heldout", [6, 3], first=500)
    return root


def _data(folder, workers=0, **options):
    options = {"batch_size": BATCH, "image_size": 8, "seed": 3} | options
    return ShardDataModule(folder, num_workers=workers, **options)


class Tiny(LightningModule):
    """Records the keys it is trained and validated on; dies within batch `die_at`."""

    def __init__(self, die_at=None, estimate=False):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.trained, self.validated = [], []
        self.die_at = die_at
        self.estimate = estimate

    def training_step(self, batch, batch_idx):
        if len(self.trained) == self.die_at:
            raise KeyError("dies")
        self.trained.append([int(key) for key in batch["keys"]])
        tensor = batch["moments"] if "moments" in batch else batch["images"]
        return self.layer(tensor.mean().view(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        self.validated += [int(key) for key in batch["keys"]]

    def configure_optimizers(self):
        if self.estimate:
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), 0.1)


class SaveAt(Callback):
    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)

    def on_exception(self, trainer, *_):
        trainer.save_checkpoint(self.path)


def _fit(model, data, ckpt_path=None, epochs=3, callbacks=(), **options):
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(model, data, ckpt_path=ckpt_path)
    return model.trained


def _stream(count):
    batches = GlobalBatches(SAMPLES, BATCH, seed=3)
    return [[view.row for view in batches.batch(number)] for number in range(count)]


@pytest.mark.parametrize(
    ("workers", "step"),
    [
        *itertools.product([0], range(1, 3 * EPOCH)),
        *(pytest.param(2, step, marks=pytest.mark.slow) for step in (3, 5)),
        (2, 7),
    ],
)
def test_resume_in_mid_epoch_gives_exactly_the_remaining_batches(folder, tmp_path, workers, step):
    path = tmp_path / "c.ckpt"
    whole = _fit(Tiny(), _data(folder, workers), callbacks=[SaveAt(path, step)])
    assert whole == _stream(3 * EPOCH)
    assert torch.load(path, weights_only=True)["ShardDataModule"]["batches"] == step
    assert _fit(Tiny(), _data(folder, workers), path) == whole[step:]


def test_resume_survives_estimated_stepping_batches(folder, tmp_path):
    path = tmp_path / "c.ckpt"
    _fit(Tiny(estimate=True), _data(folder), callbacks=[SaveAt(path, 7)])
    assert _fit(Tiny(estimate=True), _data(folder), path) == _stream(3 * EPOCH)[7:]


@pytest.mark.parametrize("workers", [0, 2])
def test_batch_that_a_run_died_in_is_given_again(folder, tmp_path, workers):
    path = tmp_path / "c.ckpt"
    with pytest.raises(KeyError, match="dies"):
        _fit(Tiny(die_at=7), _data(folder, workers), callbacks=[SaveAt(path, -1)])
    assert _fit(Tiny(), _data(folder, workers), path) == _stream(3 * EPOCH)[7:]


def test_resume_of_a_resumed_run(folder, tmp_path):
    first, second = tmp_path / "1.ckpt", tmp_path / "2.ckpt"
    _fit(Tiny(), _data(folder), callbacks=[SaveAt(first, 4)])
    _fit(Tiny(), _data(folder), first, callbacks=[SaveAt(second, 9)])
    assert _fit(Tiny(), _data(folder), second) == _stream(3 * EPOCH)[9:]


@pytest.mark.parametrize("workers", [0, 2])
def test_shortened_epochs_go_on_in_the_same_stream(folder, workers):
    assert _fit(Tiny(), _data(folder, workers), limit_train_batches=3) == _stream(9)


def test_validation_within_the_epoch_changes_nothing(folder, tmp_path):
    path = tmp_path / "c.ckpt"
    model = Tiny()
    whole = _fit(model, _data(folder, val_samples=5), callbacks=[SaveAt(path, 7)], val_check_interval=2)
    assert whole == _stream(3 * EPOCH)
    assert model.validated[:5] == [500, 501, 502, 503, 504]
    assert len(model.validated) == 5 * 6
    assert _fit(Tiny(), _data(folder, val_samples=5), path, val_check_interval=2) == whole[7:]


@pytest.mark.parametrize("change", [{"batch_size": 2}, {"seed": 4}])
def test_resume_in_another_order_is_refused(folder, tmp_path, change):
    path = tmp_path / "c.ckpt"
    _fit(Tiny(), _data(folder), callbacks=[SaveAt(path, 3)], epochs=1)
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f"{name}=.*, this run has {name}={value}: resume with the same"):
        _fit(Tiny(), _data(folder, **change), path)


def test_resume_on_other_data_is_refused(folder, tmp_path, write_shards):
    path = tmp_path / "c.ckpt"
    _fit(Tiny(), _data(folder), callbacks=[SaveAt(path, 3)], epochs=1)
    write_shards(tmp_path / "train", [30])
    with pytest.raises(ValueError, match="trained with samples=22, this run has samples=30"):
        _fit(Tiny(), _data(tmp_path), path)


def test_resume_on_other_labels_is_refused(tmp_path, write_tar, png):
    """In a tar of the same size, with the same pictures; a checkpoint from before labels were kept goes on."""
    for label in (1, 2):
        parts = [
            (f"{n:09d}.{part}", body) for n in range(8) for part, body in (("png", png(n)), ("cls", b"%d" % label))
        ]
        write_tar(tmp_path / str(label) / "0.tar", parts)

    def data(label):
        module = _data(tmp_path / str(label))
        module.needs = Needs.of(["labels"], 5)
        return module

    path = tmp_path / "c.ckpt"
    _fit(Tiny(), data(1), callbacks=[SaveAt(path, 1)], epochs=1)
    assert data(1).train_set.index.fingerprint == data(2).train_set.index.fingerprint
    with pytest.raises(ValueError, match="the checkpoint was trained with labels="):
        _fit(Tiny(), data(2), path, epochs=1)
    stored = torch.load(path, weights_only=True)
    del stored["ShardDataModule"]["labels"]
    torch.save(stored, path)
    _fit(Tiny(), data(2), path, epochs=1)


def test_a_filter_takes_samples_of_the_folder_alone_and_goes_on_with_itself_alone(folder, tmp_path):
    path, even = tmp_path / "c.ckpt", Filter("number % 2 == 0")
    whole = _fit(Tiny(), _data(folder, filter=even), callbacks=[SaveAt(path, 3)])
    assert [sample % 2 for batch in whole for sample in batch] == [0] * 3 * 8
    assert _fit(Tiny(), _data(folder, filter=Filter("number%2==0")), path) == whole[3:]
    changed = "trained with filter=number % 2 == 0, this run has filter="
    for other, named in (
        (Filter("number > 5"), "number > 5"),
        (Filter("number % 2 == 0", "keep"), "number"),
        (None, "none"),
    ):
        with pytest.raises(ValueError, match=f"{changed}{named}"):
            _fit(Tiny(), _data(folder, filter=other), path)
    assert [len(_data(folder, filter=even).heldout_set), len(_data(folder, filter=even).train_set)] == [5, 11]
    elsewhere = _data(folder / "train", heldout_path=folder / "heldout", filter=even)
    assert [len(elsewhere.heldout_set), len(elsewhere.train_set)] == [9, 11]


def test_a_checkpoint_from_before_there_were_filters_goes_on_without_one(folder, tmp_path):
    path = tmp_path / "c.ckpt"
    whole = _fit(Tiny(), _data(folder), callbacks=[SaveAt(path, 3)], epochs=1)
    stored = torch.load(path, weights_only=True)
    del stored["ShardDataModule"]["filter"]
    torch.save(stored, path)
    assert _fit(Tiny(), _data(folder), path, epochs=1) == whole[3:]
    with pytest.raises(ValueError, match="trained with filter=none, this run has filter=number > 5"):
        _fit(Tiny(), _data(folder, filter=Filter("number > 5")), path)


def test_next_fit_of_one_datamodule_starts_anew(folder, tmp_path):
    data, path = _data(folder), tmp_path / "c.ckpt"
    assert _fit(Tiny(), data, callbacks=[SaveAt(path, 2)], epochs=1) == _stream(EPOCH)
    assert _fit(Tiny(), data, path, epochs=1) == _stream(EPOCH)[2:]
    assert _fit(Tiny(), data, epochs=1) == _stream(EPOCH)


def _as_rank(data, rank, world):
    root_device = torch.device("cpu")
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=world, strategy=SimpleNamespace(root_device=root_device)
    )
    return data


def test_ranks_share_the_global_batch_and_the_heldout_samples(folder):
    ranks = [_as_rank(_data(folder, val_samples=7), rank, 2) for rank in range(2)]
    train = [[[int(key) for key in batch["keys"]] for batch in data.train_dataloader()] for data in ranks]
    assert [one + two for one, two in zip(*train, strict=True)] == _stream(EPOCH)
    val = [
        [([int(key) for key in batch["keys"]], batch.get("fillers", 0)) for batch in data.val_dataloader()]
        for data in ranks
    ]
    assert val == [[([500, 502], 0), ([504, 506], 0)], [([501, 503], 0), ([505, 500], 1)]]
    predict = [[int(key) for batch in data.predict_dataloader() for key in batch["keys"]] for data in ranks]
    assert sorted(itertools.chain(*predict)) == list(range(500, 509))


class KeepTrained(Callback):
    """Ranks are processes of their own: what they were trained on comes back in files."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, module):
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(module.trained))


def _fit_as_two(folder, kept, ckpt_path=None):
    kept.mkdir()
    _fit(Tiny(), _data(folder), ckpt_path, strategy="ddp_fork", devices=2, callbacks=[KeepTrained(kept)])


@pytest.mark.slow
def test_real_ranks_see_the_order_of_one_and_resume_what_one_began(folder, tmp_path):
    """From a process of their own: where a test has had tensors on a fake GPU, autograd cannot be forked any more."""
    path = tmp_path / "c.ckpt"
    _fit(Tiny(), _data(folder), callbacks=[SaveAt(path, 7)])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, __file__, folder, tmp_path, path], env=environment, check=True, timeout=200)
    for name, start in (("whole", 0), ("resumed", 7)):
        ranks = [json.loads((tmp_path / name / f"rank{rank}.json").read_text()) for rank in range(2)]
        assert [one + two for one, two in zip(*ranks, strict=True)] == _stream(3 * EPOCH)[start:]


def test_latents_replace_images_and_resume_alike(folder, tmp_path):
    def moments(images):
        return images[:, :, ::4, ::4], images[:, :, ::4, ::4].abs()

    def data():
        module = _data(folder, val_samples=4)
        encoder = LatentEncoder(moments, channels=3, factor=4, fingerprint="hash")
        module.use_latents(Caching(encoder, options=LatentOptions(tmp_path)))
        return module

    path = tmp_path / "c.ckpt"
    model = Tiny()
    whole = _fit(model, data(), callbacks=[SaveAt(path, 7)])
    assert whole == _stream(3 * EPOCH)
    assert model.validated[:4] == [500, 501, 502, 503]
    assert _fit(Tiny(), data(), path) == whole[7:]
    batch = next(iter(data().train_dataloader()))
    assert batch["moments"].shape == (BATCH, 6, 2, 2)
    assert "images" not in batch
    assert "images" in next(iter(data().predict_dataloader()))
    assert sorted(path.name for path in tmp_path.glob("latents-*")) == ["latents-heldout-8", "latents-train-8"]


def test_transfer_moves_tensors_only(folder):
    batch = next(iter(_data(folder).predict_dataloader()))
    moved = _data(folder).transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved["images"].device.type == "meta"
    assert moved["captions"] is batch["captions"]


def test_plain_folder_of_tars_with_heldout_elsewhere(folder):
    data = _data(folder / "train", heldout_path=folder / "heldout")
    data.setup("fit")
    assert (len(data.train_set), len(data.heldout_set)) == (SAMPLES, 9)


def test_without_heldout_shards_there_is_no_validation(folder):
    data = _data(folder / "train")
    assert data.val_dataloader() == []
    assert _fit(Tiny(), data, epochs=1) == _stream(EPOCH)
    with pytest.raises(ValueError, match=r"heldout_path: there is no folder .*heldout; name a folder"):
        data.setup("validate")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 23}, "batch_size=23 is more than the 22 samples: lower it"),
        ({"batch_size": 0}, "batch_size=0 must be"),
        ({"image_size": 0}, "image_size=0 must be"),
        ({"workers": -1}, "num_workers=-1 is too small: give 0 or more"),
        ({"val_samples": -1}, "val_samples=-1 is too small"),
        ({"seed": -1}, "seed=-1 is too small"),
    ],
)
def test_bad_arguments_fail_before_training(folder, options, words):
    with pytest.raises(ValueError, match=words):
        _data(folder, **options).setup("fit")


def test_samples_are_those_that_have_what_is_needed(tmp_path, write_tar, png):
    parts = [("0.png", png(0)), ("0.txt", b"a"), ("1.png", png(1)), ("1.cls", b"1"), ("2.png", png(2)), ("2.cls", b"9")]
    write_tar(tmp_path / "train" / "0.tar", parts)
    for needs, keys in ((Needs(), ["0"]), (Needs(captions=False), ["0", "1", "2"]), (Needs.of(["labels"], 5), ["1"])):
        data = _data(tmp_path)
        data.needs = needs
        assert list(data.train_set.index.keys) == keys


def test_the_data_is_not_hashed_anew_at_every_save(folder, tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(selection, "fingerprint", lambda *data: hashed.append(1) or fingerprint(*data))
    data = _data(folder)
    assert data.fingerprint
    once = len(hashed)
    _fit(Tiny(), data, epochs=1, callbacks=[SaveAt(tmp_path / f"{step}.ckpt", step) for step in range(1, 5)])
    assert len(hashed) == once <= 1
    assert _data(folder).fingerprint == data.fingerprint
    assert len(hashed) == once, "it is stored"


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path / 'none'} does not exist: write shards with `ldmlab data"):
        _data(tmp_path / "none").require_source()


if __name__ == "__main__":
    data_folder, kept_in, began = map(Path, sys.argv[1:])
    _fit_as_two(data_folder, kept_in / "whole")
    _fit_as_two(data_folder, kept_in / "resumed", began)


def test_a_run_goes_on_with_the_decoder_that_it_began_with(folder):
    def data(**settings):
        return ShardDataModule(folder, batch_size=2, image_size=8, **settings)

    saved = data()._order_facts()
    assert (saved["decoder"], saved["scaled_decoding"]) == ("simplejpeg", False)
    assert data(decoder="simplejpeg").require_same_order(saved) is False
    with pytest.raises(ValueError, match=r"decoder=simplejpeg, this run has decoder=pillow: resume with the same"):
        data(decoder="pillow").require_same_order(saved)
    with pytest.raises(ValueError, match=r"scaled_decoding=False, this run has scaled_decoding=True"):
        data(scaled_decoding=True).require_same_order(saved)
    old = {name: value for name, value in saved.items() if name not in ("decoder", "scaled_decoding")}
    assert data(decoder="pillow").require_same_order(old) is False
    with pytest.raises(ValueError, match="scaled_decoding=False, this run has scaled_decoding=True"):
        data(scaled_decoding=True).require_same_order(old)


@pytest.mark.parametrize("workers", [0, 1])
def test_images_travel_as_bytes_and_are_floats_on_the_device(folder, workers):
    data = ShardDataModule(folder, batch_size=4, image_size=8, num_workers=workers, val_samples=4)
    for loader, dataset in ((data.train_dataloader(), data.train_set), (data.val_dataloader(), data.heldout_set)):
        batch = next(iter(loader))
        assert batch["images"].dtype == torch.uint8
        moved = data.transfer_batch_to_device(batch, torch.device("cpu"), 0)
        assert torch.equal(moved["images"], torch.stack([dataset[row]["image"] for row in batch["rows"]]))
