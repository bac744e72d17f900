"""Bad input: exit code 2, one clear line, and nothing half-written."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image

from ldmlab.conditioners.text import TextTransformer
from ldmlab.data.shard_dataset import MAX_REPLACEMENTS
from ldmlab.models.checkpoints import export_weights, read_checkpoint, read_lightning
from ldmlab.training.autoencoder import AutoencoderTraining

Command = Callable[..., Any]
Tiny = dict[str, tuple[str, ...]]
Members = list[tuple[str, bytes]]
slow = partial(pytest.param, marks=pytest.mark.slow)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def data(shards: Path, tmp_path: Path) -> Path:
    """A copy of the dataset that a test may spoil."""
    return shutil.copytree(shards, tmp_path / "data", ignore=shutil.ignore_patterns(".*", "latents-*"))


@pytest.fixture
def train(tiny: Tiny, ldmlab: Command, tmp_path: Path) -> Command:
    """(data, words...) -> how the training of a tiny autoencoder into `run` ended."""

    def run(path: Path, *words: str, kind: str = "autoencoder") -> Any:
        kept = [each for each in tiny[kind] if not ("conditioner=clip" in words and each.startswith("conditioner."))]
        return ldmlab("train", *kept, f"data.path={path}", f"output_dir={tmp_path / 'run'}", *words)

    return run


def members(path: Path) -> Members:
    with tarfile.open(path) as archive:
        return [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]


def rewrite(path: Path, content: Members) -> None:
    with tarfile.open(path, "w") as archive:
        for name, payload in content:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))


def temporary(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("key", ["backbone.detph=3", "+backbone.detph=3", slow("++backbone.detph=3")])
def test_unknown_key(key: str, ldmlab: Command, tmp_path: Path) -> None:
    line = ldmlab("train", key, f"output_dir={tmp_path / 'run'}").refusal()
    assert line == "ldmlab: unknown key 'backbone.detph'; did you mean 'backbone.depth'?"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nowhere.ckpt", slow("nowhere.safetensors")])
@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_missing_checkpoint(command: str, name: str, ldmlab: Command, tmp_path: Path) -> None:
    line = ldmlab(command, f"ckpt={tmp_path / name}", f"output_dir={tmp_path / 'run'}").refusal()
    assert f"ckpt={tmp_path / name}: no such file" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["last", "nowhere/last.ckpt"])
def test_missing_checkpoint_to_resume_from(name: str, train: Command, shards: Path, tmp_path: Path) -> None:
    line = train(shards, f"ckpt_path={name}").refusal()
    path = tmp_path / "run/last.ckpt" if name == "last" else name
    assert f"ckpt_path={name}: no such file as {path}; give output_dir= of the run to go on" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_resuming_what_is_done(train: Command, shards: Path, autoencoder: Path, tmp_path: Path) -> None:
    line = train(shards, f"ckpt_path={autoencoder / 'last.ckpt'}").refusal()
    assert "has 4 steps already; raise trainer.max_steps" in line
    assert not (tmp_path / "run").exists()


def test_resuming_on_another_autoencoder(
    train: Command, shards: Path, autoencoder: Path, dit: Path, tmp_path: Path
) -> None:
    stored = read_checkpoint(autoencoder / "model.safetensors")
    other = {name: value + 1 if name.endswith("latent_mean") else value for name, value in stored.state.items()}
    export_weights(tmp_path / "other.safetensors", other, stored.config, ema=False)
    words = (f"ckpt_path={dit / 'last.ckpt'}", f"autoencoder_ckpt={tmp_path / 'other.safetensors'}")
    line = train(shards, *words, "trainer.max_steps=6", kind="dit").refusal()
    assert "was trained on another autoencoder; give its autoencoder_ckpt=" in line
    assert not (tmp_path / "run").exists()


def test_missing_autoencoder(train: Command, shards: Path, tmp_path: Path) -> None:
    line = train(shards, "autoencoder_ckpt=nowhere.ckpt", kind="dit").refusal()
    assert "nowhere.ckpt: no such file" in line
    assert not (tmp_path / "run").exists()


def test_a_published_setting_without_its_autoencoder(ldmlab: Command, shards: Path, tmp_path: Path) -> None:
    """Not trained on the shipped autoencoder, which is another."""
    words = ("experiment=published/dit_s_8", f"data.path={shards}", f"output_dir={tmp_path / 'run'}")
    line = ldmlab("train", *words).refusal()
    assert "autoencoder_ckpt=null: the setting is for an autoencoder of its own" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "word", "told"),
    [
        ("dit", "backbone.patch=3", "backbone.patch=3 does not divide the latent grid of 4; choose a divisor"),
        ("unet", "backbone.multipliers=[1,2,3,5]", "cannot split 4x4; use sides that 8 divides or fewer backbone.mult"),
        slow("unet", "backbone.concat_channels=2", "takes 6 channels, 2 of them from the conditioner, and got 4"),
    ],
)
def test_a_backbone_that_does_not_fit(
    kind: str, word: str, told: str, train: Command, shards: Path, autoencoder: Path
) -> None:
    assert told in train(shards, f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", word, kind=kind).refusal()


@pytest.mark.parametrize("name", [slow("last.ckpt"), "model.safetensors"])
def test_an_autoencoder_cannot_sample(name: str, autoencoder: Path, ldmlab: Command, tmp_path: Path) -> None:
    line = ldmlab("sample", f"ckpt={autoencoder / name}", f"output_dir={tmp_path / 'run'}").refusal()
    assert "holds an autoencoder; give a checkpoint of a latent diffusion model" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_resuming_another_backbone(train: Command, shards: Path, autoencoder: Path, unet: Path, tmp_path: Path) -> None:
    words = (f"ckpt_path={unet / 'last.ckpt'}", f"autoencoder_ckpt={autoencoder / 'last.ckpt'}")
    line = train(shards, *words, kind="dit").refusal()
    assert f"ckpt_path={unet / 'last.ckpt'}: was trained with backbone=" in line
    assert not (tmp_path / "run").exists()


def test_a_run_from_before_a_key_came_goes_on(
    train: Command, shards: Path, autoencoder: Path, dit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is newer than a checkpoint was at its default in it."""
    folder = shutil.copytree(dit, tmp_path / "run")
    checkpoint = read_lightning(folder / "last.ckpt")
    del checkpoint["config"]["objective"], checkpoint["config"]["backbone"]["conditioning"]
    torch.save(checkpoint, folder / "last.ckpt")
    words = ("ckpt_path=last", "trainer.max_steps=5", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    monkeypatch.setattr(TextTransformer, "prepare", None)  # the checkpoint has the tokenizer
    assert train(shards, *words, kind="dit").code == 0
    assert "trained with objective=" in train(shards, *words, "objective=min_snr", kind="dit").refusal()


def test_weights_that_do_not_fit_their_config(dit: Path, unet: Path, ldmlab: Command, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.safetensors"
    export_weights(mixed, read_checkpoint(unet / "last.ckpt").state, read_checkpoint(dit / "last.ckpt").config, True)
    line = ldmlab("sample", f"ckpt={mixed}", f"output_dir={tmp_path / 'run'}").refusal()
    assert f"ckpt={mixed}: is of another architecture: it lacks 'denoiser.backbone." in line
    assert not (tmp_path / "run").exists()


def test_unusable_shards_stop_nothing_and_are_named(train: Command, data: Path, tmp_path: Path) -> None:
    """One that is cut off gives what is whole in it; nobody misses captions, which an autoencoder does not read."""
    first = data / "train/00000.tar"
    rewrite(first, [(name, payload) for name, payload in members(first) if not name.endswith(".txt")])
    shard = data / "train/00001.tar"
    with tarfile.open(shard) as archive:
        within = archive.getmembers()[61].offset_data + 1
    shard.write_bytes(shard.read_bytes()[:within])
    for name, content in (("a", b""), ("b", b"<html>"), ("c", gzip.compress(bytes(9999)))):
        (data / f"train/{name}.tar").write_bytes(content)
    os.mkfifo(data / "train/d.tar")
    done = train(data)
    assert done.code == 0, done.err
    log = (tmp_path / "run/train.log").read_text()
    assert re.search(r"(3[3-9]|[45]\d) samples in 2 shards, \d+ problems", log)
    for named in (
        "1 truncated shard (first: 00001.tar/byte ",
        "1 shard that differs from its _stats.json (first: 00001.tar: ",
        "1 empty shard (first: a.tar: 0 bytes)",
        "2 shard that is no tar (first: b.tar: a web page",
        "1 shard that cannot be read (first: d.tar: a pipe)",
    ):
        assert named in log
    for shard in (data / "train").glob("0*.tar"):
        shard.write_bytes(b"")
    line = train(data, "output_dir=" + str(tmp_path / "other")).refusal()
    assert f"the shards in {data / 'train'} have no usable sample" in line
    assert "c.tar" not in line
    assert not (tmp_path / "other").exists()


def test_shards_without_captions(train: Command, data: Path, autoencoder: Path, tmp_path: Path) -> None:
    for shard in (data / "train").glob("*.tar"):
        rewrite(shard, [(name, payload) for name, payload in members(shard) if not name.endswith(".txt")])
    line = train(data, f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", kind="dit").refusal()
    assert f"the shards in {data / 'train'} have no captions (KEY.txt beside KEY.jpg)" in line
    assert not (tmp_path / "run").exists()


def test_corrupt_images_are_skipped_counted_and_told(train: Command, data: Path, tmp_path: Path) -> None:
    """One whose header is broken, found by the index, and one whose pixels are, found when they are read."""
    shard = data / "train/00000.tar"
    content = members(shard)
    images = [place for place, (name, _) in enumerate(content) if name.endswith(".png")]
    for place, payload in ((images[3], b"no picture"), (images[5], content[images[5]][1][:-200])):
        content[place] = (content[place][0], payload)
    rewrite(shard, content)
    done = train(data, "trainer.max_steps=8")
    assert done.code == 0, done.err
    header, pixels = (content[images[place]][0].removesuffix(".png") for place in (3, 5))
    log = (tmp_path / "run/train.log").read_text()
    assert f"63 samples in 2 shards, 1 problem: 1 undecodable image (first: 00000.tar/{header})" in log
    assert f"1 problem: 1 undecodable image (first: 00000.tar/{pixels})" in log


def test_nothing_but_corrupt_images(train: Command, data: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    for shard in (data / "train").glob("*.tar"):
        cut = [(name, buffer.getvalue()[:50] if name.endswith(".png") else body) for name, body in members(shard)]
        rewrite(shard, cut)
    line = train(data).refusal()
    assert f"{MAX_REPLACEMENTS} images in a row in {data / 'train'} cannot be decoded" in line


def test_prompt_longer_than_the_context(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = (f"ckpt={dit / 'last.ckpt'}", f"output_dir={tmp_path / 'run'}", "n=2")
    line = ldmlab("sample", "a red star", "a very red star " * 30, *words).refusal()
    assert "prompt 'a very red star a very red" in line
    assert "the model reads 64; shorten the prompt" in line
    assert not (tmp_path / "run").exists()


def test_prompts_from_an_absent_or_empty_file(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    words = ("sample", f"ckpt={dit / 'last.ckpt'}", f"output_dir={tmp_path / 'run'}")
    assert "no such file" in ldmlab(*words, f"prompts={tmp_path / 'nowhere.txt'}").refusal()
    assert "holds no prompt" in ldmlab(*words, f"prompts={tmp_path / 'empty.txt'}").refusal()
    assert not (tmp_path / "run").exists()


def test_disk_full_in_training_leaves_the_checkpoint_before(
    train: Command, shards: Path, autoencoder: Path, full_disk: Command, tmp_path: Path
) -> None:
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    before = (folder / "last.ckpt").read_bytes()
    with full_disk(len(before) // 2):
        line = train(shards, "ckpt_path=last", "trainer.max_steps=6").refusal()
    assert line.startswith("ldmlab: no space left to write")
    assert (folder / "last.ckpt").read_bytes() == before
    assert not temporary(folder)


def test_disk_full_in_sampling_leaves_whole_files_alone(
    dit: Path, ldmlab: Command, full_disk: Command, tmp_path: Path
) -> None:
    words = (f"ckpt={dit / 'last.ckpt'}", "n=16", "sampler.steps=2", f"output_dir={tmp_path / 'run'}")
    with full_disk(12_000):
        line = ldmlab("sample", *words).refusal()
    assert line.startswith("ldmlab: no space left to write")
    assert not temporary(tmp_path)
    for path in tmp_path.rglob("*.png"):
        Image.open(path).load()


def test_disk_full_in_writing_data_goes_on_later(ldmlab: Command, full_disk: Command, tmp_path: Path) -> None:
    sizes = ("dataset.train=20", "dataset.heldout=2", "dataset.image_size=32", "shard_size=10", "workers=1")
    words = ("data", *sizes, f"data.path={tmp_path / 'data'}")
    with full_disk(12_000):
        assert ldmlab(*words).refusal().startswith("ldmlab: no space left to write")
    assert not list((tmp_path / "data/train").glob("*.tar"))
    assert not temporary(tmp_path)
    assert "20 train, 2 heldout samples" in ldmlab(*words).out


def test_nan_loss_names_the_last_good_checkpoint(
    train: Command, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AutoencoderTraining.training_step

    def poisoned(module: L.LightningModule, batch: Any, index: int) -> None:
        batch["images"] = batch["images"] * (float("nan") if module.global_step == 3 else 1)
        original(module, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(AutoencoderTraining, "training_step", poisoned)
    line = train(shards).refusal()
    assert line.startswith("ldmlab: loss became nan at step 3; lower optimizer.lr or check the data; ")
    assert f"the last good checkpoint is {tmp_path / 'run/last.ckpt'}" in line
    stored = read_lightning(tmp_path / "run/last.ckpt")
    assert stored["global_step"] == 2
    assert all(torch.isfinite(value).all() for value in stored["state_dict"].values())


def test_nan_loss_before_any_checkpoint(train: Command, shards: Path, tmp_path: Path) -> None:
    line = train(shards, "optimizer.lr=1e30", "checkpoint_every=100").refusal()
    assert "nothing is saved yet" in line
    assert not (tmp_path / "run/last.ckpt").exists()


@pytest.mark.parametrize(
    "key", ["sample ckpt", slow("evaluate ckpt"), slow("train ckpt_path"), "train autoencoder_ckpt"]
)
def test_malicious_pickle(key: str, train: Command, ldmlab: Command, shards: Path, tmp_path: Path) -> None:
    path, touched = tmp_path / "a.ckpt", tmp_path / "touched"
    torch.save({"config": {"model": "autoencoder"}, "state_dict": Touch(touched)}, path)
    command, name = key.split()
    if command == "train":
        done = train(shards, f"{name}={path}", kind="dit" if name == "autoencoder_ckpt" else "autoencoder")
    else:
        done = ldmlab(command, f"{name}={path}", f"output_dir={tmp_path / 'run'}")
    assert "refused, because reading it would run code" in done.refusal()
    assert os.listdir(tmp_path) == ["a.ckpt"]


def test_settings_that_lightning_refuses(train: Command, shards: Path) -> None:
    line = train(shards, "trainer.gradient_clip_val=1.0").refusal()
    assert "gradient" in line.lower()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("trainer.gradient_clip_val=abc", "trainer.gradient_clip_val=abc: this key takes a number or null"),
        ("autoencoder.channels=-8", "a value does not fit"),
        ("data.heldout_path=/nowhere/heldout", "heldout_path=/nowhere/heldout: no such folder"),
    ],
)
def test_values_that_do_not_fit(word: str, told: str, train: Command, shards: Path, tmp_path: Path) -> None:
    assert told in train(shards, word).refusal()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        slow("backbone.heads=0", "heads=0"),
        ("grid_prompts=[]", "grid_prompts"),
        slow(f"grid_prompts=[{'a red star ' * 40}]", "the model reads 64; shorten the prompt"),
        ("sampler.steps=2000", "sampler.steps=2000: choose between 1 and the 1000"),
        slow("conditioner=clip", "conditioner.weights"),
    ],
)
def test_what_could_not_be_drawn_is_refused_before_training(
    word: str, told: str, train: Command, shards: Path, autoencoder: Path, tmp_path: Path
) -> None:
    line = train(shards, f"autoencoder_ckpt={autoencoder / 'model.safetensors'}", word, kind="dit").refusal()
    assert told in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_folder_that_holds_a_run_is_not_overwritten(train: Command, shards: Path, autoencoder: Path) -> None:
    before = (autoencoder / "last.ckpt").read_bytes()
    line = train(shards, f"output_dir={autoencoder}").refusal()
    assert f"output_dir={autoencoder}: holds a run already; go on with it by ckpt_path=last" in line
    assert (autoencoder / "last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_resuming_with_a_part_more(train: Command, shards: Path, autoencoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    line = train(shards, "ckpt_path=last", "trainer.max_steps=6", "discriminator=patch").refusal()
    assert f"ckpt={folder / 'last.ckpt'}: is of another architecture: it lacks 'discriminator." in line


@pytest.mark.slow
def test_resuming_on_other_data(train: Command, data: Path, autoencoder: Path, tmp_path: Path) -> None:
    shutil.copytree(autoencoder, tmp_path / "run")
    shard = data / "train/00000.tar"
    content = [(name, b"a star" if name.endswith(".txt") else payload) for name, payload in members(shard)]
    rewrite(shard, content)
    line = train(data, "ckpt_path=last", "trainer.max_steps=6").refusal()
    assert "the checkpoint was trained with data=" in line


def test_raw_weights_of_a_file_that_holds_averages(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = (f"ckpt={dit / 'model.safetensors'}", "ema=false", f"output_dir={tmp_path / 'run'}")
    assert "holds averaged weights alone; for ema=false give the run's last.ckpt" in ldmlab("sample", *words).refusal()
