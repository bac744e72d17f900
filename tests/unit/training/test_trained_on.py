"""What a checkpoint remembers of its data decides what it is measured on, and which prompts suit it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.filters.filter import Filter
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.training.trained_on import heldout_reference, remembered, remembered_filter, require_shapes, tell_of_seen

NEEDS = Needs()


def model(data: dict[str, Any] | None, adapter: object = None) -> Any:
    """As it was loaded from a file."""
    return SimpleNamespace(path=Path("mine.safetensors"), checkpoint=SimpleNamespace(data=data), adapter=adapter)


def facts(path: Path | str, fingerprint: str | None = None, **more: str) -> dict[str, Any]:
    """What a checkpoint remembers."""
    data = {"path": str(path), "heldout_path": None, "image_size": 32, "dataset": None, "fingerprint": fingerprint}
    return data | more


@pytest.fixture
def reference() -> Callable[..., tuple[Path, list[str]]]:
    """(data of the checkpoint, keys) -> the folder, and what is told."""

    def find(data: dict[str, Any] | None, **keys: Any) -> tuple[Path, list[str]]:
        told: list[str] = []
        ckpt = keys.pop("ckpt", "mine.safetensors")
        return heldout_reference(ckpt, model(data), NEEDS, told.append, **keys), told

    return find


Reference = Callable[..., tuple[Path, list[str]]]


def copy_tars(shards: Path, folder: Path) -> None:
    """The training split alone, as a folder of other origin."""
    for tar in (shards / "train").glob("*.tar"):
        shutil.copy(tar, folder)


def test_what_it_was_trained_on_is_taken_and_named(shards: Path, reference: Reference) -> None:
    fingerprint = ShardIndex.build(shards / "train", needs=NEEDS).fingerprint
    told = [f"data.path={shards}: what mine.safetensors was trained on"]
    assert reference(facts(shards, fingerprint)) == (shards / "heldout", told)


@pytest.mark.parametrize("fingerprint", [None, "that of other samples", ""])
def test_a_folder_that_a_file_names_is_taken_for_its_samples_alone_and_left_as_it_is(
    shards: Path, tmp_path: Path, fingerprint: str | None, reference: Reference
) -> None:
    copy_tars(shards, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"does not hold the samples of then; give data.path=FOLDER to measure it on"):
        reference(facts(tmp_path, fingerprint))
    assert sorted(tmp_path.rglob("*")) == before
    same = ShardIndex.build(tmp_path, cache=False, needs=NEEDS).fingerprint
    with pytest.raises(ValueError, match=r"heldout_path: there is no folder"):
        reference(facts(tmp_path, same))
    assert sorted(tmp_path.rglob("*")) == before


def test_of_held_out_samples_elsewhere_nobody_knows_whose_they_are(
    shards: Path, tmp_path: Path, reference: Reference
) -> None:
    fingerprint = ShardIndex.build(shards / "train", needs=NEEDS).fingerprint
    with pytest.raises(ValueError, match=f"beside held-out samples in {tmp_path}; give data.heldout_path="):
        reference(facts(shards, fingerprint, heldout_path=str(tmp_path)))


def test_what_the_user_names_comes_first(shards: Path, tmp_path: Path, reference: Reference) -> None:
    assert reference(facts("/nowhere"), path=str(shards)) == (shards / "heldout", [])
    assert reference(None, heldout_path=str(tmp_path)) == (tmp_path, [])


def test_shipped_models_are_of_drawn_shapes(reference: Reference) -> None:
    for name in (None, "shapes/unet"):
        assert reference(None, ckpt=name) == (Path("data/shapes/heldout"), [])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            None,
            "data.path: mine.safetensors does not say what it was trained on; give data.path=FOLDER to measure it on",
        ),
        (
            facts("/gone/photos"),
            "data.path: mine.safetensors was trained on /gone/photos, which is not there; give data.path=FOLDER to "
            "measure it on",
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
    mine = model(facts(shards, train.fingerprint))
    for index in (heldout, train):
        tell_of_seen(mine, index.root, index.fingerprint, told.append)
    assert told == [
        f"{shards / 'train'}: these are the samples that mine.safetensors was trained on, not held-out ones"
    ]


def test_an_adapted_model_is_of_what_its_adapter_was_trained_on(tmp_path: Path) -> None:
    """Also where the model beneath came with ldmlab."""
    adapted = model(facts(tmp_path / "gone"), adapter=object())
    with pytest.raises(ValueError, match=r"was trained on .*gone, which is not there"):
        heldout_reference("shapes/dit", adapted, NEEDS, print)
    with pytest.raises(ValueError, match=r"was trained on .*gone; give some"):
        require_shapes("shapes/dit", adapted)


def test_prompts_of_shapes_are_for_models_of_shapes() -> None:
    require_shapes("shapes/dit", model(None))
    require_shapes("mine.safetensors", model(facts("/gone", dataset="shapes")))
    for data, known in (
        (None, "does not say what it was trained on"),
        (facts("/gone"), "was trained on /gone"),
        (facts("/emojis", dataset="openmoji"), "was trained on /emojis"),
    ):
        with pytest.raises(ValueError, match=r"^prompts: .* are of drawn shapes") as caught:
            require_shapes("mine.safetensors", model(data))
        assert str(caught.value).endswith(f"mine.safetensors {known}; give some")


def test_a_run_remembers_its_data(shards: Path, tmp_path: Path) -> None:
    copy_tars(shards, tmp_path)
    for path, name in ((shards, "shapes"), (tmp_path, None)):
        data = ShardDataModule(path, batch_size=1, image_size=16)
        settings = {"path": str(path), "heldout_path": None, "image_size": 16}
        own = {"path": str(path), "heldout_path": None, "image_size": 16, "dataset": name}
        assert remembered(settings, data) == own | {"fingerprint": data.train_set.index.fingerprint}
    for broken in ("[" * 10_000, "[]", "{}", '{"name": 5}'):
        (tmp_path / "dataset.json").write_text(broken)
        assert remembered(settings, data)["dataset"] is None


def test_a_run_remembers_that_it_decodes_scaled(shards: Path) -> None:
    settings = {"path": str(shards), "heldout_path": None, "image_size": 16}
    for scaled in (False, True):
        data = ShardDataModule(shards, batch_size=1, image_size=16, scaled_decoding=scaled)
        assert remembered(settings, data).get("scaled_decoding", False) is scaled


def test_a_run_remembers_its_filter(shards: Path, reference: Reference) -> None:
    """So that what it was trained on is found again, and filtered as it was."""
    taken_alone = Filter("words(caption) > 3", "keep")
    data = ShardDataModule(shards, batch_size=1, image_size=16, filter=taken_alone)
    facts = remembered({"path": str(shards), "heldout_path": None, "image_size": 16}, data)
    assert 0 < len(data.train_set) < len(ShardIndex.build(shards / "train"))
    assert remembered_filter(model(facts)) == taken_alone
    assert reference(facts)[0] == shards / "heldout"
    with pytest.raises(ValueError, match="does not hold the samples of then"):
        reference({**facts, "filter": "words(caption) > 2"})
    assert remembered_filter(model(None)) is None
    with pytest.raises(ValueError, match="filter=aesthetic >: is no expression"):
        remembered_filter(model({**facts, "filter": "aesthetic >"}))
