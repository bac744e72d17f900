"""Figures of evaluation over training: what they are, what they leave alone, what is kept by them, and going on."""

from __future__ import annotations

import csv
import logging
import math
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hydra import compose
from torch import Tensor

from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.confidence import written
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.configs.training import train_from
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.evaluate import evaluate
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.measurement import Measurement
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.metrics.base import Metric
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.models.checkpoints import read_checkpoint, read_lightning
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.precision import Precision
from ldmlab.samplers.ddim import DDIM
from ldmlab.training.signals import STOP, Stopped

from ...colours import Colours

Train = Callable[..., float | None]
Rows = list[dict[str, str]]


class Killed(BaseException):
    """What no callback catches."""


class Counted(Colours):
    """Notes how many images pass, and where it is; the run dies in the pass after the last one that is allowed."""

    weights_sha256 = "counted"
    passed: ClassVar[list[int]] = []
    places: ClassVar[list[str]] = []
    last = asked = math.inf

    def to(self, device: Any) -> Counted:
        Counted.places.append(str(device))
        return self

    def features(self, images: Tensor) -> Tensor:
        if len(Counted.passed) >= Counted.last:
            raise Killed
        if len(Counted.passed) >= Counted.asked:
            STOP.take(signal.SIGTERM)
        Counted.passed.append(len(images))
        return super().features(images)


class Second(Counted):
    """Another network."""

    name, suffix = "second", "-s"


class Light(Metric):
    """How light pictures are by the features of a network of its own, and its standard error."""

    def __init__(self, extractor: Counted | None = None) -> None:
        super().__init__(extractor)
        for name in ("count", "sum", "squares"):
            self.add_sum(name)

    def update(self, features: Tensor) -> None:
        torch.rand(3), np.random.rand(3)  # as a library would draw
        light = features[:, :3].mean(dim=1)
        self.count = self.count + len(light)
        self.sum = self.sum + light.sum()
        self.squares = self.squares + light.square().sum()

    def compute(self) -> dict[str, float]:
        return {f"light{self.announced.suffix}": float(self.sum / self.count)}

    def errors(self) -> dict[str, float]:
        variance = self.squares / self.count - (self.sum / self.count) ** 2
        return {f"light{self.announced.suffix}": float((variance / self.count).sqrt())}


NETWORK = f"callbacks.evaluation.extractor._target_={Counted.__module__}.Counted"
OWN = f"+callbacks.evaluation.metrics.light._target_={Light.__module__}.Light"
SECOND = f"+callbacks.evaluation.metrics.light.extractor._target_={Second.__module__}.Second"
MEASURED = (
    "callbacks=[default,evaluation]",
    "metric@callbacks.evaluation.metrics=[frechet_distance]",
    NETWORK,
    OWN,
    "callbacks.evaluation.n=6",
    "callbacks.evaluation.batch_size=4",
    "callbacks.evaluation.every_n_steps=2",
)
CURVES = ("eval/FID-c", "eval/FID-c_error", "eval/light-c", "eval/light-c_error")


@pytest.fixture
def train(tiny: dict[str, tuple[str, ...]], shards: Path, autoencoder: Path, tmp_path: Path) -> Train:
    """(overrides...) -> what a run of a tiny model returns, in a folder; `kind` is one of `tiny`, or "classes"."""
    Counted.passed.clear()
    Counted.places.clear()

    def run(*overrides: str, kind: str = "autoencoder", folder: str = "run") -> float | None:
        left_out = ("grid_every", *(("experiment=", "conditioner.", "grid_prompts") if kind == "classes" else ()))
        own = [word for word in tiny["dit" if kind == "classes" else kind] if not word.startswith(left_out)]
        own += ["conditioner=class_label", "conditioner.classes=32"] if kind == "classes" else []
        words = [*own, "grid_every=100", f"data.path={shards}", f"output_dir={tmp_path / folder}", *overrides]
        if kind in ("dit", "classes"):
            words.append(f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
        with hydra_at_conf("train"):
            cfg = compose("train", words)
        return train_from(cfg)

    return run


def rows(folder: Path) -> Rows:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def curves(folder: Path, names: Iterable[str] = CURVES) -> dict[str, dict[int, float]]:
    """By name and number of steps."""
    found = rows(folder)
    return {name: {int(row["step"]) + 1: float(row[name]) for row in found if row.get(name)} for name in names}


@pytest.mark.parametrize(("kind", "workers"), [("autoencoder", 0), pytest.param("dit", 2, marks=pytest.mark.slow)])
def test_training_is_the_same_to_the_last_bit_with_figures_and_without(
    train: Train, tmp_path: Path, kind: str, workers: int
) -> None:
    words = [f"data.num_workers={workers}", "trainer.val_check_interval=2"]
    train(*words, kind=kind, folder="without")
    train(*words, *MEASURED, kind=kind, folder="with")
    without, measured = (read_lightning(tmp_path / name / "last.ckpt") for name in ("without", "with"))
    assert without["state_dict"].keys() == measured["state_dict"].keys()
    for name, value in without["state_dict"].items():
        assert torch.equal(value, measured["state_dict"][name]), name
    logged = {name for name in rows(tmp_path / "without")[0] if name.startswith(("train/", "val/"))}
    assert curves(tmp_path / "without", logged) == curves(tmp_path / "with", logged)
    assert {len(curve) for name, curve in curves(tmp_path / "with", logged).items() if "_q" not in name} == {2, 4}
    states = [run["callbacks"]["RngState"] for run in (without, measured)]
    assert torch.equal(states[0]["torch"], states[1]["torch"])
    assert torch.equal(states[0]["numpy"][0], states[1]["numpy"][0])


def test_curves_have_errors_and_are_those_of_the_averaged_weights(
    train: Train, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out pictures are read and pass a network once, and networks are on the CPU while training goes on.

    One of the metrics has a network of its own.
    """
    read: list[int] = []
    decode = ShardDataset.__getitem__

    def noted(self: ShardDataset, row: Any) -> Any:
        read.extend([row] if self.index.root.name == "heldout" else [])
        return decode(self, row)

    monkeypatch.setattr(ShardDataset, "__getitem__", noted)
    with caplog.at_level(logging.INFO):
        figure = train(*MEASURED, SECOND, "figure=eval/FID-c", "cache_latents=false", kind="dit")
    found = curves(tmp_path / "run", [name.replace("light-c", "light-s") for name in CURVES])
    assert [list(curve) for curve in found.values()] == [[2, 4]] * 4
    assert figure == found["eval/FID-c"][4]
    assert found["eval/FID-c"][2] != found["eval/FID-c"][4]
    assert read == list(range(6))
    assert sum(Counted.passed) == 6 + 2 * (6 + 6)
    assert Counted.places[-2:] == ["cpu", "cpu"]
    told = [line for line in caplog.messages if line.startswith("step ")]
    assert len(told) == 2
    fid, light = (written(found[name][2], found[f"{name}_error"][2]) for name in ("eval/FID-c", "eval/light-s"))
    assert told[0].startswith(f"step 2: FID-c {fid}, light-s {light}; took ")
    assert "% of the time so far" in told[0]
    assert "eval/n_real" not in rows(tmp_path / "run")[0]
    model = load_latent_diffusion(tmp_path / "run/model.safetensors").model
    heldout = HeldOut(ShardDataset(ShardIndex.build(shards / "heldout"), 32), n=6, batch_size=4)
    drawing, cpu = Drawing(DDIM(2), ClassifierFree(4.0), heldout.seeds()), Precision("fp32", torch.device("cpu"))
    metrics = {"fid": FrechetDistance(), "light": Light(Second())}
    measured = evaluate(model, Measurement(metrics, Colours(), cpu, heldout, drawing=drawing))
    exact = {name: curve[4] for name, curve in found.items() if not name.endswith("_error")}
    assert {f"eval/{name}": value for name, value in measured.figures.items() if name[:2] != "n_"} == exact


def test_a_run_that_is_asked_to_stop_while_it_measures_stops_and_measures_when_it_goes_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the batch of pictures that it is at, and after a checkpoint of that step, although none was due."""
    words = (*MEASURED, "figure=eval/FID-c", "callbacks=[default,evaluation,best]", "checkpoint_every=3")
    words += ("trainer.max_steps=6", "trainer.val_check_interval=2", "scheduler=constant", "callbacks.evaluation.n=10")
    whole = train(*words, folder="whole")
    with monkeypatch.context() as patch:
        patch.setattr(STOP, "_asked", None)
        patch.setattr(Counted, "asked", len(Counted.passed) + 7)  # in the second measurement, which has three batches
        with pytest.raises(Stopped, match="go on from it with ckpt_path=last"):
            train(*words)
    assert read_lightning(tmp_path / "run/last.ckpt")["global_step"] == 4
    assert list(curves(tmp_path / "run")["eval/FID-c"]) == [2]
    assert train(*words, "ckpt_path=auto") == whole
    for names in (CURVES, ["val/loss", "train/loss"]):
        assert curves(tmp_path / "run", names) == curves(tmp_path / "whole", names)


@pytest.mark.slow
def test_a_model_of_classes_is_asked_for_all_of_them(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for more pictures than there are held-out ones, which they are compared with."""
    asked: list[int] = []
    forward = ClassLabel.forward

    def noted(self: ClassLabel, batch: Any) -> Any:
        asked.extend([] if self.training else torch.as_tensor(batch["labels"]).tolist())
        return forward(self, batch)

    monkeypatch.setattr(ClassLabel, "forward", noted)
    words = ("callbacks.evaluation.conditions=balanced", "callbacks.evaluation.n=35", "trainer.val_check_interval=100")
    train(*MEASURED, *words, "trainer.max_steps=2", kind="classes")
    assert sum(Counted.passed) == 16 + 35
    assert set(asked) == set(range(32))  # some of them more than once, to fill up what is drawn at once


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_checkpoint_by_a_figure_is_kept_and_found_again(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """Validations in between, when nothing is measured, change nothing; a run that goes on knows the best so far."""
    words = (*MEASURED, "figure=eval/light-c", "callbacks=[default,evaluation,best]", "trainer.val_check_interval=1")
    words += ("scheduler=constant", "callbacks.best.save_top_k=2")
    folder = tmp_path / "run"
    train(*words, f"figure_mode={mode}", "trainer.max_steps=3")
    train(*words, f"figure_mode={mode}", "trainer.max_steps=7", "ckpt_path=last")
    [curve] = curves(folder, ["eval/light-c"]).values()
    assert list(curve) == [2, 3, 4, 6, 7]
    ranked = sorted(curve, key=curve.__getitem__, reverse=mode == "max")[:2]
    assert {path.name for path in (folder / "best").iterdir()} == {f"step-{step:07d}.ckpt" for step in ranked}
    best = folder / f"best/step-{ranked[0]:07d}.ckpt"
    assert f"best: {best} (eval/light-c {curve[ranked[0]]:.4g})" in capsys.readouterr().out
    assert read_lightning(best)["global_step"] == ranked[0]
    assert read_checkpoint(best).config["model"] == "autoencoder"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("saved", "passes"),
    [
        pytest.param(1, 5, id="in the second measurement, after a checkpoint"),
        pytest.param(3, 5, id="in the second measurement, a step after a checkpoint"),
        pytest.param(1, 7, id="in the last measurement, after the last step"),
        pytest.param(1, 2, id="in the first measurement"),
    ],
)
def test_a_run_that_is_killed_while_it_measures_goes_on_with_the_same_curves(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: int, passes: int
) -> None:
    words = (*MEASURED, "figure=eval/FID-c", "callbacks=[default,evaluation,best]", f"checkpoint_every={saved}")
    words += ("trainer.max_steps=6", "trainer.val_check_interval=2", "scheduler=constant")
    with monkeypatch.context() as patch:
        patch.setattr(Counted, "last", passes)
        with pytest.raises(Killed):
            train(*words)
    whole = train(*words, folder="whole")
    assert curves(tmp_path / "run") != curves(tmp_path / "whole")
    assert train(*words, "ckpt_path=auto") == whole
    for names in (CURVES, ["val/loss", "train/loss"]):
        assert curves(tmp_path / "run", names) == curves(tmp_path / "whole", names)
    kept = [[path.name for path in (tmp_path / name / "best").iterdir()] for name in ("run", "whole")]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["metric@callbacks.evaluation.metrics=[vlb]"], "callbacks.evaluation: .*vlb.* latent diffusion model"),
        (["metric@callbacks.evaluation.metrics=[]", f"~{OWN[1:]}"], "callbacks.evaluation: .*there is none"),
        (["callbacks.evaluation.conditions=drawn"], "callbacks.evaluation: conditions=drawn: an autoencoder is asked"),
        (["callbacks=[default]", "figure=eval/FID-c"], "figure=eval/FID-c: nothing measures it; add evaluation"),
        (["callbacks=[default,best]", "callbacks.best.monitor=eval/x"], "figure=eval/x: nothing measures it"),
        (["callbacks=[default,evaluation,best]", "figure=eval/FID"], "figure=eval/FID: .* choose one of eval/FID-c"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_one_line(train: Train, words: list[str], told: str) -> None:
    own = [] if "callbacks=[default" in words[0] and "evaluation" not in words[0] else MEASURED
    with pytest.raises(ValueError, match=told) as refusal:
        train(*own, *words)
    assert "\n" not in str(refusal.value)
