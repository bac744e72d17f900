"""What a checkpoint remembers of its data decides what it is measured on, and which prompts suit it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from ldmlab.cli.trained_on import heldout_reference, require_shapes, tell_of_seen
from ldmlab.data.index import ShardIndex
from ldmlab.data.needs import Needs

NEEDS = Needs()


def model(data: dict[str, Any] | None) -> Any:
    """As it was loaded from a file."""
    return SimpleNamespace(path=Path("mine.safetensors"), checkpoint=SimpleNamespace(data=data))


def remembered(path: Path | str, fingerprint: str | None = None, heldout_path: str | None = None) -> dict[str, Any]:
    return {"path": str(path), "heldout_path": heldout_path, "image_size": 32, "fingerprint": fingerprint}


@pytest.fixture
def reference() -> Callable[..., tuple[Path, list[str]]]:
    """(data of the checkpoint, keys) -> the folder, and what is told."""

    def find(data: dict[str, Any] | None, **keys: Any) -> tuple[Path, list[str]]:
        told: list[str] = []
        cfg = OmegaConf.create({"ckpt": "mine.safetensors", "path": None, "heldout_path": None} | keys)
        return heldout_reference(cfg, model(data), NEEDS, told.append), told

    return find


Reference = Callable[..., tuple[Path, list[str]]]


def test_what_it_was_trained_on_is_taken_and_named(shards: Path, reference: Reference) -> None:
    fingerprint = ShardIndex.build(shards / "train", needs=NEEDS).fingerprint
    told = [f"path={shards}: what mine.safetensors was trained on"]
    assert reference(remembered(shards, fingerprint)) == (shards / "heldout", told)
    assert reference(remembered(shards)) == (shards / "heldout", told)


def test_a_held_out_folder_of_its_own_is_remembered_too(shards: Path, tmp_path: Path, reference: Reference) -> None:
    assert reference(remembered(shards, heldout_path=str(tmp_path)))[0] == tmp_path


@pytest.mark.parametrize("fingerprint", ["that of other samples", ""])
def test_other_samples_under_the_same_name_are_told(shards: Path, fingerprint: str, reference: Reference) -> None:
    _, told = reference(remembered(shards, fingerprint))
    assert told[1] == f"path={shards}: has other samples than when mine.safetensors was trained"


def test_what_the_user_names_comes_first(shards: Path, tmp_path: Path, reference: Reference) -> None:
    assert reference(remembered("/nowhere"), path=str(shards)) == (shards / "heldout", [])
    assert reference(None, heldout_path=str(tmp_path)) == (tmp_path, [])


def test_shipped_models_are_of_drawn_shapes(reference: Reference) -> None:
    for name in (None, "shapes/unet"):
        assert reference(None, ckpt=name) == (Path("data/shapes/heldout"), [])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "path: mine.safetensors does not say what it was trained on; give path=FOLDER to measure it on"),
        (
            remembered("/gone/photos"),
            "path: mine.safetensors was trained on /gone/photos, which is not there; give path=FOLDER to measure it on",
        ),
    ],
)
def test_otherwise_it_asks(data: dict[str, Any] | None, told: str, reference: Reference) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        reference(data)
    assert str(caught.value) == told


def test_training_samples_are_told_from_held_out_ones(shards: Path) -> None:
    train, heldout = (ShardIndex.build(shards / split, needs=NEEDS) for split in ("train", "heldout"))
    told: list[str] = []
    mine = model(remembered(shards, train.fingerprint))
    for index in (heldout, train):
        tell_of_seen(mine, index, told.append)
    assert told == [
        f"{shards / 'train'}: these are the samples that mine.safetensors was trained on, not held-out ones"
    ]


def test_prompts_of_shapes_are_for_models_of_shapes(shards: Path, tmp_path: Path) -> None:
    require_shapes("shapes/dit", model(None))
    require_shapes("mine.safetensors", model(remembered(shards)))
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "openmoji"}))
    (tmp_path / "list").mkdir()
    (tmp_path / "list/dataset.json").write_text("[" * 10_000)
    for data, known in (
        (None, "does not say what it was trained on"),
        (remembered(tmp_path), f"was trained on {tmp_path}"),
        (remembered(tmp_path / "list"), f"was trained on {tmp_path / 'list'}"),
        (remembered("/gone"), "was trained on /gone"),
    ):
        with pytest.raises(ValueError, match=r"^prompts: .* are of drawn shapes") as caught:
            require_shapes("mine.safetensors", model(data))
        assert str(caught.value).endswith(f"mine.safetensors {known}; give some")
