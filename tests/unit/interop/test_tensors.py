"""Weight files are read on demand, and run nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ldmlab.interop.tensors import from_state, read_tensors

STATE = {"a.x": torch.arange(3.0), "a.y": torch.ones(2, 2), "b": torch.zeros(1)}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.ckpt", "w.bin"])
def test_reads(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    save_file(STATE, path) if path.suffix == ".safetensors" else torch.save(STATE, path)
    tensors = read_tensors(path)
    assert {key: tuple(shape) for key, shape in tensors.shapes.items()} == {"a.x": (3,), "a.y": (2, 2), "b": (1,)}
    assert torch.equal(tensors.load("a.x"), STATE["a.x"])


def test_views() -> None:
    tensors = from_state(Path("f"), STATE)
    inner = tensors.under("a.")
    assert list(inner) == ["x", "y"]
    assert inner.prefix == "a."
    assert torch.equal(inner.load("y"), STATE["a.y"])
    assert list(tensors.outside(("a.",))) == ["b"]
    assert torch.equal(inner.renamed({"z": "x"}).load("z"), STATE["a.x"])
    with pytest.raises(ValueError, match=r"path=f: lacks 'a\.nothing'"):
        inner.shapes["nothing"]


@pytest.mark.parametrize(("ema", "value"), [(True, 1.0), (False, 2.0)])
def test_training_checkpoint_of_dit(ema: bool, value: float, tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.full((1,), 2.0)}, "ema": {"w": torch.ones(1)}, "opt": {}}, tmp_path / "w.pt")
    assert read_tensors(tmp_path / "w.pt", ema).load("w").tolist() == [value]


def test_names_of_lightnings_classes_are_not_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The released checkpoints of CompVis name callbacks; a class that does nothing stands in for them."""
    module = ModuleType("pytorch_lightning.callbacks.model_checkpoint")  # the real one would log for the tests after
    name = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = name  # type: ignore[attr-defined]
    callbacks = {name: {"monitor": "val/loss", "best_model_score": torch.ones(1)}}
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, module.__name__, module)
        torch.save({"state_dict": STATE, "callbacks": callbacks, "epoch": 3}, tmp_path / "w.ckpt")
    assert b"ModelCheckpoint" in (tmp_path / "w.ckpt").read_bytes()
    assert list(read_tensors(tmp_path / "w.ckpt")) == list(STATE)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["function", "class"])
def test_code_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    foreign = Harmful(tmp_path / "harm") if kind == "function" else argparse.Namespace(lr=1)
    torch.save({"state_dict": STATE, "args": foreign}, tmp_path / "w.ckpt")
    told = "getattr" if kind == "function" else r"argparse\.Namespace"
    with pytest.raises(ValueError, match=rf"w.ckpt: refused, because reading it would run code .*\({told}\)"):
        read_tensors(tmp_path / "w.ckpt")
    assert not (tmp_path / "harm").exists()


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    torch.save({"w": torch.full((1000,), 7.0)}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(torch.full((1,), 7.0).numpy().tobytes(), b"\x01\x02\x03\x04", 1))
    with pytest.raises(ValueError, match=r"path=.*: the file is damaged at 'w/data/0'"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "holds no named tensors; give a state dict"),
        ({}, "holds no named tensors; give a state dict"),
        ({"w": torch.ones(1), "step": 3}, "'step' is a int, not a tensor"),
    ],
)
def test_files_without_a_state_dict(content: Any, told: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=told):
        read_tensors(tmp_path / "w.pt")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "w.onnx").touch()
    (tmp_path / "w.safetensors").write_bytes(b"\x00" * 20)
    for name, told in {
        "w.onnx": "files ending in '.onnx' are no weights",
        "absent.pt": "absent.pt: no such file",
        "w.safetensors": "this is no safetensors file, or it is cut off",
    }.items():
        with pytest.raises(ValueError, match=told):
            read_tensors(tmp_path / name)
