"""What a user adds in a folder of their own: every example of docs/architecture.md, used through its command."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ldmlab.data.index.shard_index import ShardIndex

PAGE = Path(__file__).parents[2] / "docs/architecture.md"
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+\.(?:py|yaml))\n(.*?)```", PAGE.read_text(), re.DOTALL))
"""What the page's blocks hold that begin with the name of a file."""
OWN_MODELS = "film_net,angle"
SMALL = (
    "data.image_size=32", "data.batch_size=8", "data.num_workers=0", "trainer.accelerator=cpu", "trainer.max_steps=2",
    "trainer.val_check_interval=2", "trainer.log_every_n_steps=1", "scheduler.warmup_steps=1", "min_psnr=0",
    "sampler.steps=2", "backbone.width=16", "backbone.depth=1", "conditioner.width=16",
    "callbacks.weight_norm.every_n_steps=1", "checkpoint_every=2", "grid_every=2",
)  # fmt: skip

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the user's own, which Python looks for modules in."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("LDMLAB_TRUST", OWN_MODELS)
        yield folder


@pytest.fixture(scope="module")
def run(own: Path, ldmlab: Command) -> Command:
    """(words...) -> what a command printed, which has to succeed and finds the folder's yamls."""

    def command(*words: str) -> str:
        done = ldmlab(*words, "--config-dir", str(own / "conf"))
        assert done.code == 0, done.err
        return str(done.out)

    return command


@pytest.fixture(scope="module")
def stripes(own: Path, run: Command) -> Path:
    """Shards of the own dataset."""
    words = ("dataset.train=16", "dataset.heldout=8", "dataset.image_size=32", "workers=1", f"data.path={own / 'data'}")
    run("data", "dataset=stripes", *words)
    return own / "data"


@pytest.fixture(scope="module")
def model(own: Path, run: Command, stripes: Path, autoencoder: Path) -> Path:
    """The folder of a run with the own backbone, conditioner and callback."""
    choices = ("backbone=film_net", "conditioner=angle", "callbacks=[default,weight_norm]")
    paths = (f"data.path={stripes}", f"autoencoder_ckpt={autoencoder / 'model.safetensors'}")
    run("train", *choices, *SMALL, *paths, f"output_dir={own / 'run'}")
    return own / "run"


def pictures(folder: Path) -> np.ndarray[Any, Any]:
    return np.stack([np.asarray(Image.open(path)).astype(int) for path in sorted(folder.glob("0*.png"))])


def test_every_room_has_an_example() -> None:
    groups = {Path(name).parent.name for name in FILES if name.endswith(".yaml")}
    assert groups == {
        *("backbone", "callbacks", "conditioner", "dataset", "extractor", "guidance", "method", "metric", "sampler"),
    }
    for name in FILES:
        assert len(FILES[name].splitlines()) <= 45, f"{name} is too long for a page"


def test_a_dataset_is_written_as_shards(stripes: Path) -> None:
    index = ShardIndex.build(stripes / "heldout")
    angle = index.meta(3, index.files())["angle"]
    assert len(index) == 8
    assert index.captions[3] == f"stripes at {np.degrees(angle):.0f} degrees"


def test_a_backbone_and_a_conditioner_train_and_load_again(
    model: Path, run: Command, pixels: Callable[[Path], bytes], tmp_path: Path
) -> None:
    assert (model / "pictures/step-0000002.png").is_file()
    words = (f"ckpt={model / 'model.safetensors'}", "n=2", "sampler.steps=2", "guidance.scale=20")
    run("sample", "0", "1.5", *words, f"output_dir={tmp_path / 'two'}")
    run("sample", "1.5", "0", *words, f"output_dir={tmp_path / 'swapped'}")
    assert pixels(tmp_path / "two/00000.png") != pixels(tmp_path / "swapped/00000.png")


def test_models_of_strangers_build_nothing_that_is_not_trusted(
    model: Path, ldmlab: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("sample", "0", f"ckpt={model / 'model.safetensors'}", f"output_dir={tmp_path / 'out'}")
    monkeypatch.delenv("LDMLAB_TRUST")
    told = "would build angle.Angle as conditioner, which is not ldmlab's; if you wrote that module, say so: "
    assert f"{told}LDMLAB_TRUST=angle" in ldmlab(*words).refusal()
    monkeypatch.setenv("LDMLAB_TRUST", "angle")
    assert "say so: LDMLAB_TRUST=angle,film_net" in ldmlab(*words).refusal()


def test_a_callback_logs(model: Path) -> None:
    with open(model / "metrics.csv", newline="") as file:
        norms = [float(row["train/weight_norm"]) for row in csv.DictReader(file) if row["train/weight_norm"]]
    assert len(norms) == 2
    assert norms[0] > 0


def test_a_metric_and_an_extractor_measure(model: Path, run: Command, tmp_path: Path) -> None:
    words = (f"ckpt={model / 'model.safetensors'}", "n=4", "sampler.steps=2", "guidance=projected")
    choices = ("metric=[pictures,colourfulness]", "extractor=thumbnails", f"output_dir={tmp_path}")
    out = run("evaluate", *words, *choices)
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["metrics"]["colourfulness"] > result["errors"]["colourfulness"] > 0
    assert {"FID-4x4", "IS-4x4", "diversity-4x4"} <= set(result["metrics"])
    assert (result["manifest"]["metric"], result["manifest"]["extractor"]) == ("pictures+colourfulness", "thumbnails")
    assert "colourfulness" in out


def test_a_sampler_draws(dit: Path, run: Command, tmp_path: Path) -> None:
    words = (f"ckpt={dit / 'model.safetensors'}", "n=3", "sampler.steps=7", "sampler.spacing=leading", "device=cpu")
    for sampler in ("straight_lines", "ddim"):
        run("sample", "a red star", *words, f"sampler={sampler}", f"output_dir={tmp_path / sampler}")
    drawn, known = pictures(tmp_path / "straight_lines"), pictures(tmp_path / "ddim")
    assert drawn.shape == (3, 32, 32, 3)
    assert np.abs(drawn - known).max() <= 1  # DDIM with eta 0 is the same method, written differently
    assert drawn.std() > 1


def test_a_guidance_leads(dit: Path, run: Command, tmp_path: Path) -> None:
    words = ("a red star", f"ckpt={dit / 'model.safetensors'}", "n=1", "sampler.steps=2")
    choices = {"1": "guidance=projected guidance.scale=1", "40": "guidance=projected guidance.scale=40"}
    for name, choice in {**choices, "none": "guidance=none"}.items():
        run("sample", *words, *choice.split(), f"output_dir={tmp_path / name}")
    assert (pictures(tmp_path / "1") == pictures(tmp_path / "none")).all()
    assert (pictures(tmp_path / "40") != pictures(tmp_path / "none")).any()


def test_an_editing_method_edits(dit: Path, run: Command, pixels: Callable[[Path], bytes], tmp_path: Path) -> None:
    common = (f"ckpt={dit / 'model.safetensors'}", "n=1", "sampler.steps=2", "guidance.scale=40")
    for at in (0, 1):
        words = ("method=prompt_switch", f"method.at={at}", "source=a red star", "target=a small blue circle")
        run("edit", *words, *common, f"output_dir={tmp_path / str(at)}")
    run("sample", "a small blue circle", *common, f"output_dir={tmp_path / 'target'}")
    source = pixels(tmp_path / "1/00000_source.png")
    assert pixels(tmp_path / "1/00000_edit.png") == source
    assert pixels(tmp_path / "0/00000_edit.png") == pixels(tmp_path / "target/00000.png") != source
