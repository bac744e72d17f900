"""The commands do what they are for: as a user runs them where that is the point, else in this process."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ldmlab.data.folder_lock import folder_lock
from ldmlab.models.checkpoints import read_checkpoint, read_lightning

Command = Callable[..., Any]
Tiny = dict[str, tuple[str, ...]]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
slow = partial(pytest.param, marks=pytest.mark.slow)


def start(*argv: object, cwd: Path, first: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ldmlab", *map(str, argv)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": first}
    return subprocess.Popen(command, text=True, cwd=cwd, env=ENVIRONMENT, **pipes)


def run(*argv: object, cwd: Path) -> str:
    """What a command that has to succeed prints."""
    with start(*argv, cwd=cwd) as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


@pytest.mark.slow
def test_from_nothing_to_figures(tiny: Tiny, ldmlab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples as a user has them, from a process; what lies before and after in this one."""
    monkeypatch.chdir(tmp_path)
    sizes = ("dataset.train=48", "dataset.heldout=16", "dataset.image_size=32", "shard_size=16")
    done = ldmlab("data", "data.path=data", *sizes)
    assert "48 train, 16 heldout samples; 4 shards written, 0 kept" in done.out, done.err
    done = ldmlab("train", *tiny["autoencoder"], "data.path=data", "output_dir=autoencoder")
    assert done.code == 0, done.err
    assert "step 4/4" in done.out
    assert done.out.endswith(f"model: {tmp_path / 'autoencoder/model.safetensors'}\n")
    ckpt = "autoencoder_ckpt=autoencoder/model.safetensors"
    assert ldmlab("train", *tiny["dit"], "data.path=data", ckpt, "output_dir=dit").code == 0
    sampling = ("ckpt=dit/last.ckpt", "n=4", "sampler.steps=3", "output_dir=samples")
    out = run("sample", "a red star", "a small blue circle, at the top", *sampling, cwd=tmp_path)
    assert out.splitlines() == [
        f"contact sheet: {tmp_path / 'samples/contact_sheet.png'}",
        f"denoising strip: {tmp_path / 'samples/denoising_strip.png'}",
    ]
    assert (tmp_path / "samples/prompts.txt").read_text().splitlines() == [
        "a red star",
        "a small blue circle, at the top",
    ] * 2
    done = ldmlab("evaluate", "ckpt=dit/last.ckpt", "data.path=data", "n=8", "sampler.steps=2", "output_dir=e")
    assert "FID-lite0" in done.out, done.err
    assert {path.name for path in tmp_path.iterdir()} == {"data", "autoencoder", "dit", "samples", "e"}


@pytest.mark.parametrize("kind", ["autoencoder", "dit", "unet"])
def test_training_leaves_a_checkpoint_a_model_pictures_metrics_and_a_log(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    names = {path.name for path in folder.iterdir()}
    assert {"last.ckpt", "model.safetensors", "metrics.csv", "train.log", "pictures", ".hydra"} <= names
    assert not [name for name in names if name.endswith(".tmp")]
    assert [path.name for path in (folder / "pictures").iterdir()] == ["step-0000004.png"]
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["train/loss"]] == ["0", "1", "2", "3"]
    exported, trained = (read_checkpoint(folder / name) for name in ("model.safetensors", "last.ckpt"))
    assert exported.config == trained.config
    assert exported.ema is trained.ema is (kind != "autoencoder")
    for name, value in exported.state.items():
        assert torch.equal(value, trained.state[name]), name


def test_nothing_of_lightning_is_said_in_passing(autoencoder: Path) -> None:
    log = (autoencoder / "train.log").read_text()
    assert "64 samples in 2 shards, no problems" in log
    for noise in ("weights_only", "litlogger", "GPU available", "`Trainer.fit` stopped", "num_workers"):
        assert noise not in log


@pytest.mark.slow
def test_a_run_that_was_killed_after_its_last_step_is_finished(
    tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    """Its validation, its last pictures and its model are made up for; then there is nothing left to do."""
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    words = ("train", *tiny["autoencoder"], f"data.path={shards}", f"output_dir={folder}")
    model, table, pictures = (folder / name for name in ("model.safetensors", "metrics.csv", "pictures"))
    before = model.read_bytes(), table.read_text(), [path.read_bytes() for path in pictures.iterdir()]
    model.unlink()
    shutil.rmtree(pictures)
    header, *lines = table.read_text().splitlines()
    place = header.split(",").index("val/psnr")
    cut = ",".join("" if column == place else cell for column, cell in enumerate(lines[-1].split(",")))
    table.write_text("\n".join([header, *lines[:-1], cut]) + "\n")
    assert "val/psnr" in header
    assert table.read_text() != before[1]
    done = ldmlab(*words, "ckpt_path=last")
    assert done.code == 0, done.err
    assert before == (model.read_bytes(), table.read_text(), [path.read_bytes() for path in pictures.iterdir()])
    for ckpt_path in ("auto", "last", folder / "last.ckpt"):
        done = ldmlab(*words, f"ckpt_path={ckpt_path}")
        assert done.code == 0, done.err
        assert "has 4 steps already; raise trainer.max_steps to train on; model: " in done.out
    line = ldmlab(*words[:-1], f"output_dir={tmp_path / 'new'}", f"ckpt_path={folder / 'last.ckpt'}").refusal()
    assert "has 4 steps already" in line


@pytest.mark.slow
def test_resume_goes_on(tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path) -> None:
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    words = (*tiny["autoencoder"], f"data.path={shards}", f"output_dir={folder}", "ckpt_path=last")
    done = ldmlab("train", *words, "trainer.max_steps=6")
    assert done.code == 0, done.err
    assert read_lightning(folder / "last.ckpt")["global_step"] == 6
    with open(folder / "metrics.csv", newline="") as file:
        steps = [row["step"] for row in csv.DictReader(file) if row["train/loss"]]
    assert steps == ["0", "1", "2", "3", "4", "5"]


def test_a_run_that_ends_before_its_last_step_says_why(
    tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    """What it has is exported all the same."""
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    words = ("train", *tiny["autoencoder"], f"data.path={shards}", "trainer.max_steps=9")
    (folder / "model.safetensors").unlink()
    over = "trainer.max_time=00:00:00:00"
    done = ldmlab(*words, f"output_dir={folder}", "ckpt_path=auto", over)
    assert done.code == 0, done.err
    assert f"the run ends at step 4 of 9: {over} is over; ckpt_path=auto with the same output_dir goes on" in done.err
    assert (folder / "model.safetensors").exists()
    new = (*words, f"output_dir={tmp_path / 'new'}")
    assert f"nothing was trained: {over} is over" in ldmlab(*new, over).refusal()
    no_batch = "trainer.limit_train_batches=0"
    assert f"nothing was trained: {no_batch} leaves no batch" in ldmlab(*new, no_batch).refusal()


@pytest.mark.slow
def test_a_run_begins_from_another_model_at_another_resolution(
    tiny: Tiny, shards: Path, autoencoder: Path, dit: Path, ldmlab: Command, tmp_path: Path
) -> None:
    """Then it goes on without that model, whose positions it keeps; what does not fit at all is refused."""
    origin = dit / "model.safetensors"
    words = ["train", *tiny["dit"], f"data.path={shards}", f"output_dir={tmp_path / 'run'}", "min_psnr=0"]
    words += ["data.image_size=64", "trainer.max_steps=3", "conditioner.length=80", f"init_ckpt={origin}"]
    done = ldmlab(*words)
    assert done.code == 0, done.err
    assert "positions are interpolated from a grid of 4 latents a side" in done.err
    assert "'conditioner.positions': 64x32 in the file, 80x32 here: what both have is taken" in done.err
    assert read_checkpoint(tmp_path / "run/model.safetensors").config["backbone"]["base_grid"] == 4
    done = ldmlab(*words[:-1], f"autoencoder_ckpt={origin}", "trainer.max_steps=4", "ckpt_path=last")
    assert done.code == 0, done.err
    other = (*words[:-1], f"output_dir={tmp_path / 'other'}")
    line = ldmlab(*other, f"init_ckpt={autoencoder / 'model.safetensors'}").refusal()
    assert f"to be given as autoencoder_ckpt={autoencoder / 'model.safetensors'}" in line
    for model in (origin, "shapes/dit"):
        assert f"init_ckpt={model}" in ldmlab(*other, f"ckpt_path={model}").refusal()
    assert "init_ckpt=missing.ckpt: no such file" in ldmlab(*other, "init_ckpt=missing.ckpt").refusal()


def test_a_damaged_checkpoint_an_older_one_and_lightnings_own(
    tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    """The newest that is whole is gone on with, by `auto` alone where it is not the last."""
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    last, previous, hpc = (folder / name for name in ("last.ckpt", "previous.ckpt", "hpc_ckpt_1.ckpt"))
    assert (read_lightning(previous)["global_step"], read_lightning(last)["global_step"]) == (2, 4)
    words = ("train", *tiny["autoencoder"], f"data.path={shards}", f"output_dir={folder}")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    line = ldmlab(*words, "ckpt_path=last").refusal()
    assert line.endswith(f"; {previous} is whole; ckpt_path=auto goes on from {previous} with 2 steps")
    assert ldmlab(*words, f"ckpt_path={last}").refusal().endswith(f"use another checkpoint; {previous} is whole")
    model = (folder / "model.safetensors").read_bytes()
    done = ldmlab(*words, "ckpt_path=auto")
    assert done.code == 0, done.err
    assert f"goes on from {previous} with 2 steps, because ckpt_path={last}: " in done.err
    assert model == (folder / "model.safetensors").read_bytes()
    assert read_lightning(last)["global_step"] == 4
    shutil.copy(last, hpc)
    last.unlink()
    previous.unlink()
    assert "holds a run already" in ldmlab(*words).refusal()
    assert f"{hpc}: has 4 steps already" in ldmlab(*words, "ckpt_path=auto").out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("optimizer=adamw", "was trained with torch.optim.adam.Adam, this run has torch.optim.adamw.AdamW"),
        slow("optimizer.betas=[0.8,0.9]", "was trained with optimizer.betas="),
        slow("data.batch_size=4", "was trained with batch_size=8, this run has batch_size=4"),
        ("seed=9", "was trained with seed=0, this run has seed=9"),
        slow("scheduler=cosine scheduler.warmup_steps=9", "max_steps=8 must be above scheduler.warmup_steps=9"),
    ],
)
def test_what_could_not_go_on_as_it_was_is_refused(
    change: str, told: str, tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = ("train", *tiny["autoencoder"], f"data.path={shards}", f"output_dir={tmp_path}", "trainer.max_steps=8")
    assert told in ldmlab(*words, f"ckpt_path={autoencoder / 'last.ckpt'}", *change.split()).refusal()


def test_a_folder_has_one_writer(tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path) -> None:
    """A second run, or a second `data`, is refused, and what the first has written stays as it is."""
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = ("train", *tiny["autoencoder"], f"data.path={shards}", f"output_dir={folder}", "ckpt_path=auto", "seed=1")
    with folder_lock(folder, "output_dir"):
        assert f"output_dir={folder}: process {os.getpid()} on " in ldmlab(*words).refusal()
        assert f"data.path={folder}: process " in ldmlab("data", f"data.path={folder}", "dataset.train=1").refusal()
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_data_that_has_grown_is_gone_on_with_where_that_is_allowed(
    tiny: Tiny, shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    data = shutil.copytree(shards, tmp_path / "data")
    extra = sorted((data / "heldout").glob("*.tar"))[0]
    shutil.copy(extra, data / "train/more.tar")
    folder = shutil.copytree(autoencoder, tmp_path / "run")
    words = ("train", *tiny["autoencoder"], f"data.path={data}", f"output_dir={folder}", "ckpt_path=last")
    assert "allow_other_data=true" in ldmlab(*words, "trainer.max_steps=6").refusal()
    done = ldmlab(*words, "trainer.max_steps=6", "allow_other_data=true")
    assert done.code == 0, done.err
    assert "64 samples when the checkpoint was saved, 80 now; the run goes on with batch 4 of these" in done.err
    assert read_lightning(folder / "last.ckpt")["global_step"] == 6


@pytest.mark.parametrize("kind", ["dit", slow("unet")])
def test_pictures_depend_on_seed_and_prompt_alone(
    kind: str, request: pytest.FixtureRequest, ldmlab: Command, pixels: Callable[[Path], bytes], tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red star\n\n  a big blue circle  \n")
    ckpt = request.getfixturevalue(kind) / "last.ckpt"
    common = ("sample", f"ckpt={ckpt}", f"prompts={prompts}", "n=6", "sampler.steps=3", "sampler.eta=0.5", "device=cpu")

    def pictures(name: str, *more: str) -> dict[str, bytes]:
        done = ldmlab(*common, f"output_dir={tmp_path / name}", *more)
        assert done.code == 0, done.err
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.suffix in (".png", ".txt")}

    first = pictures("first")
    assert {"00000.png", "00004.png", "contact_sheet.png", "denoising_strip.png", "prompts.txt"} <= set(first)
    assert first["prompts.txt"].decode().splitlines()[:3] == ["a red star", "a big blue circle", "a red star"]
    assert first == pictures("again", "batch_size=5") == pictures("small", "batch_size=2")
    pictures("other", "seed=1")
    numbered = [name for name in first if name[0] == "0"]
    assert len(numbered) == 6
    assert not [name for name in numbered if pixels(tmp_path / "first" / name) == pixels(tmp_path / "other" / name)]
    assert np.asarray(Image.open(tmp_path / "first/00000.png")).shape == (32, 32, 3)
    assert Image.open(tmp_path / "first/denoising_strip.png").width > 3 * 128


def test_raw_and_averaged_weights_give_other_pictures(
    dit: Path, ldmlab: Command, pixels: Callable[[Path], bytes], tmp_path: Path
) -> None:
    for ema in ("true", "false"):
        folder = tmp_path / ema
        words = (f"ckpt={dit / 'last.ckpt'}", "n=1", "sampler.steps=2", f"ema={ema}", f"output_dir={folder}")
        assert ldmlab("sample", "a red star", *words).code == 0
    assert pixels(tmp_path / "true/00000.png") != pixels(tmp_path / "false/00000.png")


def test_evaluation_of_a_text_to_image_model(dit: Path, shards: Path, ldmlab: Command, tmp_path: Path) -> None:
    ckpt = dit / "model.safetensors"
    words = (
        f"ckpt={ckpt}",
        f"data.path={shards}",
        "n=99",
        "seed=3",
        "sampler.steps=2",
        "guidance.scale=1.5",
        "sampler.spacing=linspace",
    )
    done = ldmlab("evaluate", *words, f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert "n=99: there are 16 held-out samples, so 16 are taken" in done.out
    result = json.loads((tmp_path / "metrics.json").read_text())
    figures, manifest = result["metrics"], result["manifest"]
    assert {"FID-lite0", "IS-lite0", "diversity-lite0", "accuracy/colour", "accuracy/shape", "asked/colour"} <= set(
        figures
    )
    assert not [name for name in figures if name.split("-")[0] in ("FID", "IS") and not name.endswith("-lite0")]
    assert figures["n_real"] == figures["n_fake"] == 16
    known = {
        "n": 16, "n_reference": 16, "seed": 3, "extractor": "efficientnet-lite0", "ema": True, "sampler": "DDIM",
        "steps": 2, "eta": 0.0, "spacing": "linspace", "guidance_scale": 1.5, "checkpoint": str(ckpt),
        "checkpoint_sha256": hashlib.sha256(ckpt.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert {name: manifest[name] for name in known} == known
    assert {"python", "torch", "torchmetrics", "ldmlab"} <= set(manifest["versions"])
    for name in ("extractor_sha256", "reference_fingerprint", "autoencoder_sha256"):
        assert len(manifest[name]) == 64
    assert {name for name, value in manifest.items() if value is None} <= {
        "adapter",
        "bound_steps",
        "commit",
        "edit_config",
        "networks",
        "pictures",
        "pictures_chosen",
        "pictures_fingerprint",
        "resized_to",
    }


def test_evaluation_of_an_autoencoder(autoencoder: Path, shards: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = (f"ckpt={autoencoder / 'last.ckpt'}", f"data.path={shards}", "n=8", f"output_dir={tmp_path}")
    done = ldmlab("evaluate", *words)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert set(result["metrics"]) == {"PSNR", "SSIM", "rFID-lite0", "n"}
    assert result["metrics"]["n"] == 8
    assert 0 < result["metrics"]["PSNR"] < 60
    assert result["manifest"]["sampler"] is None
    assert result["manifest"]["ema"] is False


def records(path: Path) -> Iterator[Any]:
    """The records of an offline W&B run: LevelDB's log format, blocks of 32 KiB with records in up to three parts."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, buffer = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if (left := 32768 - position % 32768) < 7:
            position += left
            continue
        size, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        part = data[position + 7 : position + 7 + size]
        position += 7 + size
        buffer = part if kind in (1, 2) else buffer + part
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(buffer)
            yield record


def wandb_run(folder: Path) -> list[Any]:
    """What a finished run wrote; in this process W&B's service may still be writing its end."""
    [path] = folder.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 20
    found = list(records(path))
    while not any(record.HasField("exit") for record in found) and time.monotonic() < deadline:
        time.sleep(0.2)
        found = list(records(path))
    return found


@pytest.mark.slow
def test_a_sweep_gives_each_job_its_own_finished_wandb_run(tiny: Tiny, shards: Path, tmp_path: Path) -> None:
    words = ("-m", "logger=wandb", "seed=3,4", "grid_every=2", f"data.path={shards}", "output_dir=sweep")
    run("train", *tiny["autoencoder"], *words, cwd=tmp_path)
    ids = set()
    for job in ("0", "1"):
        folder = tmp_path / "sweep" / job
        assert (folder / "model.safetensors").is_file()
        found = wandb_run(folder)
        [begun] = [record.run for record in found if record.HasField("run")]
        ids.add(begun.run_id)
        assert (begun.run_group, begun.display_name, begun.project) == ("sweep", job, "ldmlab")
        config = {item.key: item.value_json for item in begun.config.update}
        config |= {item.key: item.value_json for r in found if r.HasField("config") for item in r.config.update}
        assert config["seed"] == str(3 + int(job))
        logged = {item.nested_key[0] if item.nested_key else item.key
                  for r in found if r.HasField("history") for item in r.history.item}  # fmt: skip
        assert {"train/loss", "pictures"} <= logged
        assert [record.exit.exit_code for record in found if record.HasField("exit")] == [0]
        assert list(folder.glob("wandb/offline-run-*/files/media/images/*.png"))
    assert len(ids) == 2


@pytest.mark.slow
def test_a_failed_run_ends_its_wandb_run_as_failed(tiny: Tiny, shards: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = (*tiny["autoencoder"], "logger=wandb", "optimizer.lr=1e30", f"data.path={shards}", f"output_dir={tmp_path}")
    assert "loss became" in ldmlab("train", *words).refusal()
    import wandb

    assert wandb.run is None
    assert [record.exit.exit_code for record in wandb_run(tmp_path) if record.HasField("exit")] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_with_a_message_and_a_good_checkpoint(
    number: signal.Signals, heeding: Callable[[], None], tiny: Tiny, shards: Path, tmp_path: Path
) -> None:
    endless = ("trainer.max_steps=1000000", "checkpoint_every=1", "trainer.val_check_interval=1000000")
    words = (*tiny["autoencoder"], *endless, f"data.path={shards}", "output_dir=run")
    with start("train", *words, cwd=tmp_path, first=heeding) as process:
        deadline = time.monotonic() + 150
        while not (tmp_path / "run/last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    folder = tmp_path / "run"
    told = f"the last good checkpoint is {folder / 'last.ckpt'}; go on from it with ckpt_path=last output_dir={folder}"
    *log, last = err.splitlines()
    assert last == f"ldmlab: stopped by {number.name}; {told}"
    assert not any(line.startswith(("ldmlab:", "Traceback")) for line in log), err
    assert read_lightning(tmp_path / "run/last.ckpt")["global_step"] >= 1
    assert not list((tmp_path / "run").glob(".*.tmp")) + list((tmp_path / "run").glob(".lock"))


def relabel(shard: Path, labels: dict[int, Any]) -> None:
    """Take the captions out of a shard, and give some of its samples other labels."""
    with tarfile.open(shard) as archive:
        content = [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]
    with tarfile.open(shard, "w") as archive:
        for place, (name, payload) in enumerate(content):
            if name.endswith(".json") and place // 3 in labels:
                payload = json.dumps({"label": labels[place // 3]}).encode()
            if not name.endswith(".txt"):
                info = tarfile.TarInfo(name)
                info.size = len(payload)
                archive.addfile(info, io.BytesIO(payload))


def test_class_labels_from_data_to_figures(
    shards: Path, autoencoder: Path, tiny: Tiny, ldmlab: Command, tmp_path: Path
) -> None:
    """Pictures with labels and without captions train a class-conditional model; its prompts are class numbers.

    What has no label to learn from is left out before training, and named.
    """
    shards = shutil.copytree(shards, tmp_path / "data", ignore=shutil.ignore_patterns(".*", "latents-*"))
    for shard in shards.rglob("*.tar"):
        relabel(shard, {3: "1", 5: 1.0, 7: -1, 9: 32, 11: None} if shard.name == "00001.tar" else {})
    folder = tmp_path / "run"
    words = [word for word in tiny["dit"] if not word.startswith(("experiment=", "conditioner.", "grid_prompts"))]
    classes = ("conditioner=class_label", "conditioner.classes=32", "conditioner.width=32", "grid_prompts=null")
    ckpt = f"autoencoder_ckpt={autoencoder / 'model.safetensors'}"
    done = ldmlab("train", *words, *classes, ckpt, f"data.path={shards}", f"output_dir={folder}")
    assert done.code == 0, done.err
    log = (folder / "train.log").read_text()
    assert "59 samples in 2 shards, 5 problems: 3 label that is no integer of 0 or more (first: 00001.tar/00001" in log
    assert "1 label beyond the classes (first: 00001.tar/0000109: label 32 of 32 classes)" in log
    assert (folder / "data_problems.csv").read_text().count("\n") == 6
    model = f"ckpt={folder / 'model.safetensors'}"
    done = ldmlab("sample", "3", "31", model, "n=2", "sampler.steps=2", f"output_dir={tmp_path / 'samples'}")
    assert done.code == 0, done.err
    assert (tmp_path / "samples/prompts.txt").read_text() == "3\n31\n"
    figures = (f"data.path={shards}", "n=8", "sampler.steps=2", "extractor=efficientnet_lite0")
    done = ldmlab("evaluate", model, "protocol=imagenet256", *figures, f"output_dir={tmp_path / 'figures'}")
    assert done.code == 0, done.err
    rows = [line for line in (tmp_path / "figures/table.md").read_text().splitlines() if line.startswith("| ")]
    assert rows[-2].startswith("| DiT-XL/2-G (1.50) | 2.27 | 4.60 | 278.24 | 0.83 | 0.57 | NEPZR")
    assert rows[-1].startswith("| run | ")
    for said in ("DiT-XL/2-G", "N  pictures measured: 8 here", "E  extractor: ", "Z  resize", "R  reference: "):
        assert said in done.out
    manifest = json.loads((tmp_path / "figures/metrics.json").read_text())["manifest"]
    assert (manifest["protocol"], manifest["conditions"], manifest["table"]) == ("imagenet256", "drawn", "imagenet256")
    assert (tmp_path / "figures/table.csv").read_text().count("\n") == 17
    line = ldmlab("sample", "a red star", model, f"output_dir={tmp_path / 'more'}").refusal()
    assert "this model reads class numbers" in line


def test_several_pictures_a_caption_measure_how_they_differ(
    dit: Path, shards: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = (f"ckpt={dit / 'model.safetensors'}", "n=8", "pictures_per_caption=3", "sampler.steps=2")
    done = ldmlab("evaluate", *words, f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert f"data.path={shards}: what {dit / 'model.safetensors'} was trained on" in done.out
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["metrics"]["n_fake"] == result["metrics"]["n_real"] == 8
    assert result["metrics"]["diversity_within_caption-lite0"] > 0
    assert result["manifest"]["pictures_per_caption"] == 3
    assert "Text-conditional MS-COCO" in done.out
    assert "LDM-KL-8-G" in done.out


@pytest.mark.slow
def test_evaluation_on_a_held_out_folder_of_its_own(
    shards: Path, autoencoder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    words = (f"ckpt={autoencoder / 'model.safetensors'}", "n=4", f"output_dir={tmp_path / 'figures'}")
    done = ldmlab("evaluate", *words, f"data.heldout_path={shards / 'heldout'}")
    assert done.code == 0, done.err


@pytest.mark.slow
def test_a_codebook_from_training_to_figures(tiny: Tiny, shards: Path, ldmlab: Command, tmp_path: Path) -> None:
    """An autoencoder with a codebook, and a diffusion model on the cache of its latents."""
    done = ldmlab("train", *tiny["vq"], f"data.path={shards}", f"output_dir={tmp_path / 'vq'}")
    assert done.code == 0, done.err
    with open(tmp_path / "vq/metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert all(1 <= float(row["train/perplexity"]) <= 16 for row in rows)
    assert all(0 <= float(row["train/dead_codes"]) < 16 and float(row["train/codebook"]) > 0 for row in rows)
    autoencoder = tmp_path / "vq/model.safetensors"
    done = ldmlab("evaluate", f"ckpt={autoencoder}", f"data.path={shards}", "n=8", f"output_dir={tmp_path / 'figures'}")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "figures/metrics.json").read_text())["metrics"]
    assert 1 <= metrics["perplexity"] <= 16 * metrics["used_codes"] <= 16
    folder, words = tmp_path / "dit", (f"data.path={shards}", f"autoencoder_ckpt={autoencoder}")
    done = ldmlab("train", *tiny["dit"], *words, f"output_dir={folder}")
    assert done.code == 0, done.err
    model = f"ckpt={folder / 'model.safetensors'}"
    done = ldmlab("sample", "a red star", model, "n=2", "sampler.steps=2", f"output_dir={tmp_path / 'samples'}")
    assert done.code == 0, done.err
    done = ldmlab("evaluate", model, f"data.path={shards}", "n=4", "sampler.steps=2", f"output_dir={tmp_path / 'more'}")
    assert done.code == 0, done.err


@pytest.mark.slow
def test_describing_a_published_autoencoder(ldmlab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = ldmlab("describe", "model=autoencoder", "autoencoder=vq_f16", "discriminator=none", "json=true")
    assert done.code == 0, done.err
    described = json.loads(done.out)
    assert described["totals"]["trainable"] == 69_593_371
    assert described["latent_shape"] == [8, 4, 4]
