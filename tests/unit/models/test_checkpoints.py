from __future__ import annotations

import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ldmlab.models.checkpoints import (
    export_weights,
    load_weights,
    read_checkpoint,
    read_lightning,
)
from ldmlab.training.checkpoint_io import AtomicCheckpointIO

CONTENT = {
    "config": {"model": "ours"},
    "state_dict": {"model.a": torch.arange(6.0), "ema.a": torch.ones(6), "ema.updates": torch.tensor(3)},
}


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class Ends:
    """Ends the process when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, path)
    return path


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(value, other[key]) for key, value in one.items())
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_what_was_saved_is_read_and_nothing_else_is_left(saved: Path) -> None:
    assert same(AtomicCheckpointIO().load_checkpoint(saved), CONTENT)
    assert os.listdir(saved.parent) == [saved.name]


def test_a_full_disk_leaves_the_checkpoint_before(saved: Path, full_disk: Callable[..., Any]) -> None:
    before = saved.read_bytes()
    with full_disk(len(before)), pytest.raises(OSError, match=f"free some space.*{saved}") as raised:
        AtomicCheckpointIO().save_checkpoint({"state_dict": {"a": torch.zeros(100_000)}}, saved)
    from ldmlab.cli.errors import explain

    assert str(explain(raised.value)).startswith("no space left to write")
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"ckpt={saved}"):
        read_lightning(saved)


def test_no_flipped_bit_goes_unseen(saved: Path) -> None:
    """A flip that harms nothing (padding, times) may pass; one that changes what is read may not."""
    content = saved.read_bytes()
    rng = random.Random(0)
    refused = 0
    for place in rng.sample(range(8 * len(content)), 600):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        saved.write_bytes(damaged)
        try:
            read = read_lightning(saved)
        except ValueError as error:
            assert f"ckpt={saved}" in str(error)  # noqa: PT017
            refused += 1
        else:
            assert same(read, CONTENT), place
    assert refused > 100


def flip(path: Path) -> None:
    """A bit of a weight of 1.5."""
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((4,), 1.5).numpy().tobytes()) + 2000] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_a_weight_is_refused_and_the_one_before_offered(tmp_path: Path) -> None:
    path, files = tmp_path / "last.ckpt", AtomicCheckpointIO()
    for _ in range(2):
        files.save_checkpoint({"state_dict": {"a": torch.full((1000,), 1.5)}}, path)
    flip(path)
    told = r"damaged at '.*data/0'; use another checkpoint"
    with pytest.raises(ValueError, match=f"{told}; {tmp_path / 'previous.ckpt'} is whole$"):
        read_lightning(path)
    flip(tmp_path / "previous.ckpt")
    with pytest.raises(ValueError, match=f"{told}$"):
        read_lightning(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool, suffix: str) -> None:
    touched = tmp_path / "touched"
    path = tmp_path / f"a{suffix}"
    torch.save({"state_dict": Touch(touched)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=f"ckpt={path}"):
        read_checkpoint(path)
    assert not touched.exists()
    torch.load(path.rename(tmp_path / "b.ckpt"), weights_only=False)
    assert touched.exists()  # the trap works


def test_a_refusal_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": Ends()}, path)
    with pytest.raises(ValueError, match="refused, because reading it would run code"):
        read_lightning(path)


def test_a_pickle_made_by_hand_is_refused(saved: Path) -> None:
    for junk in (b"", b"\x80\x02.", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", pickle.dumps({1: "a"}, 5)):
        path = saved.with_name("junk.ckpt")
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                target.writestr(name, junk if name.endswith("data.pkl") else source.read(name))
        with pytest.raises(ValueError, match=f"ckpt={path}"):
            read_checkpoint(path)


@pytest.mark.parametrize("content", [[1, 2], {"weights": torch.ones(2)}, torch.ones(2), {"state_dict": {}}])
def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"ckpt={path}: this is no training checkpoint of ldmlab"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_an_absent_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"ckpt={tmp_path / name}: no such file"):
        read_checkpoint(tmp_path / name)


def test_averaged_weights_take_the_place_of_the_raw_ones(saved: Path) -> None:
    assert same(read_checkpoint(saved).state, {"a": torch.ones(6)})
    assert same(read_checkpoint(saved, ema=False).state, {"a": torch.arange(6.0)})


@pytest.mark.parametrize("half", [False, True])
def test_export_round_trip(tmp_path: Path, half: bool) -> None:
    torch.manual_seed(0)
    state = {"w": torch.randn(4, 3).T, "n": torch.tensor(3), "scale": torch.tensor(0.1), "bytes": torch.tensor([7])}
    path = tmp_path / "a.safetensors"
    export_weights(path, state, {"model": "ours", "sizes": [1, 2]}, ema=True, half=half)
    read = read_checkpoint(path)
    assert read.config == {"model": "ours", "sizes": [1, 2]}
    assert read.ema
    assert {name: value.dtype for name, value in read.state.items()} == {k: v.dtype for k, v in state.items()}
    assert same({**read.state, "w": 0}, {**state, "w": 0})
    torch.testing.assert_close(read.state["w"], state["w"], rtol=1e-3 if half else 0, atol=0)
    assert torch.equal(read.state["w"], state["w"].half().float() if half else state["w"])
    assert len(read.sha256) == 64


def test_strange_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3)}, path)
    with pytest.raises(ValueError, match="were not exported by ldmlab"):
        read_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="no safetensors file, or it is cut off"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bias": None}, "it lacks 'bias'"),
        ({"extra": torch.ones(1)}, "it has 'extra', which the model lacks"),
        ({"weight": torch.ones(3, 2)}, r"'weight' is \(3, 2\) in the file, \(2, 3\) in the model"),
    ],
)
def test_weights_of_another_architecture_are_refused(change: dict[str, Any], told: str) -> None:
    linear = nn.Linear(3, 2)
    changed = {k: v for k, v in {**linear.state_dict(), **change}.items() if v is not None}
    before = linear.weight.detach().clone()
    with pytest.raises(ValueError, match=f"ckpt=x.ckpt: is of another architecture: {told}"):
        load_weights(linear, changed, Path("x.ckpt"))
    assert torch.equal(linear.weight, before)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    export_weights(path, {"w": torch.arange(24.0)}, {"model": "ours"}, ema=True, data=DATA)
    return path


DATA = {"path": "data/mine", "heldout_path": None, "image_size": 64, "dataset": "shapes", "fingerprint": "abc"}


def test_no_flipped_bit_of_an_exported_model_goes_unseen(exported: Path) -> None:
    content = exported.read_bytes()
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        exported.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"ckpt={exported}: "):
            read_checkpoint(exported)


def test_the_same_model_gives_the_same_bytes(exported: Path) -> None:
    config = {"model": "ours", "b": {"c": 1, "d": [2]}}
    export_weights(exported, {"w": torch.ones(2), "a": torch.zeros(3)}, config, True, data=DATA)
    before = exported.read_bytes()
    turned = {"b": {"d": [2], "c": 1}, "model": "ours"}
    export_weights(exported, {"a": torch.zeros(3), "w": torch.ones(2)}, turned, True, data=dict(reversed(DATA.items())))
    assert exported.read_bytes() == before


def test_a_model_remembers_its_data(exported: Path, tmp_path: Path) -> None:
    assert read_checkpoint(exported).data == DATA
    path = tmp_path / "a.ckpt"
    older = {name: value for name, value in DATA.items() if name != "dataset"}
    changes = {"image_size": "64"}, {"dataset": 5}, {"filter": {}}, {"path": "a\x1b[2J"}, {"path": "a" * 5000}
    wrong = [None, "data/mine", *({**DATA, **change} for change in changes)]
    filtered = {**DATA, "filter": "aesthetic > 5", "missing": "drop"}
    scaled = {**DATA, "scaled_decoding": True}
    right = ((DATA, DATA), (older, {**DATA, "dataset": None}), (filtered, filtered), (scaled, scaled))
    for data, told in (*right, *((each, None) for each in wrong)):
        torch.save({**CONTENT, "data": data}, path)
        assert read_checkpoint(path).data == told


def test_a_model_from_before_there_was_a_digest_loads(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"w": torch.ones(2)}, path, {"format": "ldmlab", "config": '{"model": "ours"}', "ema": "true"})
    read = read_checkpoint(path)
    assert (read.config, read.data) == ({"model": "ours"}, None)
