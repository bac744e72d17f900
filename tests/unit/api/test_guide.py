"""All code of docs/python.md and of examples/ runs, with models and data that are tiny."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ldmlab.api import configurable, training
from ldmlab.configs.calls import configured

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STEPS = 4
TINY_DATA = ("dataset.train=32", "dataset.heldout=16", "dataset.image_size=32")


@pytest.fixture
def shrunk(
    dit: Path, autoencoder: Path, tiny: Mapping[str, tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder to run in, in which shipped models and what is trained or drawn are tiny, and steps few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ldmlab.models.shipped.shipped", lambda: {"shapes/dit": dit / "model.safetensors"})

    def small(command: str, keys: Mapping[str, Any], overrides: Sequence[str]) -> Any:
        lines = list(overrides)
        if keys.get("dataset") == "shapes":
            lines += TINY_DATA
        if command == "train":
            lines += tiny_training(tiny, lines)
            if "experiment=shapes/dit" in lines:
                lines += [f"autoencoder_ckpt={autoencoder / 'model.safetensors'}"]
        return configured(command, keys, lines)

    def quick(command: str, keys: Mapping[str, Any], *more: Any) -> Any:
        return configured(command, {**keys, "sampler.steps": min(keys["sampler.steps"] or STEPS, STEPS)}, *more)

    monkeypatch.setattr(training, "configured", small)
    monkeypatch.setattr(configurable, "configured", quick)
    return tmp_path


def tiny_training(tiny: Mapping[str, tuple[str, ...]], lines: Sequence[str]) -> list[str]:
    """What makes a run tiny, whichever experiment it is of."""
    if "experiment=own/autoencoder" in lines:
        return ["autoencoder=kl", *tiny["autoencoder"][1:]]
    if "experiment=own/classes" in lines:
        return [word for word in tiny["dit"][1:] if not word.startswith(("conditioner.", "grid_prompts="))]
    return list(tiny["dit"][1:])


@pytest.mark.slow
def test_the_guide(shrunk: Path) -> None:
    namespace: dict[str, Any] = {}
    for number, block in enumerate(BLOCK.findall((ROOT / "docs/python.md").read_text())):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), namespace)
    assert Image.open(shrunk / "star.png").size == (32, 32)
    assert sorted(path.name for path in (shrunk / "drawn").iterdir())[:2] == ["00000.png", "00001.png"]
    assert namespace["run"].figures["step"] == 3
    assert namespace["mine"].path == Path("runs/mine/model.safetensors")


def test_the_start_in_the_readme(shrunk: Path) -> None:
    (block,) = BLOCK.findall((ROOT / "README.md").read_text())
    exec(compile(block, "README.md", "exec"), {})
    assert (shrunk / "edited.png").is_file()


@pytest.mark.parametrize("name", ["sample", "edit"])
def test_examples(name: str, shrunk: Path) -> None:
    runpy.run_path(str(ROOT / f"examples/{name}.py"))
    assert list((shrunk / "runs/examples").iterdir())


@pytest.mark.slow
def test_training_on_own_pictures(shrunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    for kind, colour in (("red", 0), ("blue", 2)):
        folder = shrunk / "my_pictures" / kind
        folder.mkdir(parents=True)
        for number in range(40):
            pixels = generator.integers(0, 60, (40, 40, 3), dtype=np.uint8)
            pixels[..., colour] += 150
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    monkeypatch.setenv("STEPS", "4")
    monkeypatch.setenv("SIZE", "32")
    result = runpy.run_path(str(ROOT / "examples/train_on_own_pictures.py"))
    assert result["classes"] == ["blue", "red"]
    assert result["model"].reads == "class numbers"
    assert [len(result["samples"]), len(result["edited"])] == [8, 1]


def test_every_example_has_its_test() -> None:
    names = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    assert names == ["edit", "sample", "train_on_own_pictures"]
