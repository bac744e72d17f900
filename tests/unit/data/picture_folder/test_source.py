"""A folder of one's own pictures: what becomes a sample, as what, on which side of the split, and what is named."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.picture_folder.source import PictureFolder
from ldmlab.data.sample_source import SPLITS, Sample
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.data.writing.dataset_writer import PROBLEMS, write_shards


def samples(source: PictureFolder) -> dict[str, Sample]:
    """By file."""
    found = [source.sample(split, index) for split in SPLITS for index in range(source.count(split))]
    return {sample.meta["file"]: sample for sample in found}


def held_out(source: PictureFolder) -> set[str]:
    return {source.sample("heldout", index).meta["file"] for index in range(source.count("heldout"))}


def test_every_picture_is_a_sample_with_its_caption(pictures: Path) -> None:
    found = samples(PictureFolder(str(pictures)))
    assert len(found) == 24
    assert {sample.caption for sample in found.values()} == {
        f"a plain {name} picture" for name in ("red", "green", "blue")
    }
    assert all(sample.label is None for sample in found.values())
    payload = (pictures / "red/3.JPEG").read_bytes()
    assert (found["red/3.JPEG"].encoded.extension, found["red/3.JPEG"].encoded.payload) == ("jpg", payload)


def test_a_picture_stays_where_it_is(pictures: Path, tmp_path: Path) -> None:
    """Whatever its name, whatever is added, and equal files stay together."""
    before = held_out(PictureFolder(str(pictures), heldout=0.4))
    assert 4 < len(before) < 16
    root = shutil.copytree(pictures, tmp_path / "copy")
    for file in before:
        shutil.copy(root / file, root / f"again_{file.replace('/', '_')}")
        (root / file).rename(root / f"new_{file.replace('/', '_')}")
    Image.new("RGB", (50, 50)).save(root / "added.png")
    after = held_out(PictureFolder(str(root), heldout=0.4)) - {"added.png"}
    assert after == {f"{how}_{file.replace('/', '_')}" for how in ("again", "new") for file in before}
    assert not held_out(PictureFolder(str(pictures), heldout=0))


def test_large_pictures_are_made_smaller_and_small_ones_stay(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    Image.fromarray(noise[:20, :33]).save(tmp_path / "small.png")
    found = samples(PictureFolder(str(tmp_path), image_size=30, image_format="webp"))
    large, small = found["large.png"], found["small.png"]
    assert (large.image.size, large.encoded) == ((45, 30), None)
    assert (large.meta["original_width"], large.meta["original_height"]) == (90, 60)
    assert small.encoded is not None
    assert small.encoded.payload == (tmp_path / "small.png").read_bytes()


def test_pictures_are_upright_and_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    half = Image.new("RGB", (64, 32), (255, 0, 0))
    half.paste((0, 0, 255), (32, 0, 64, 32))
    half.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.webp")
    for size in (None, 16):
        source = PictureFolder(str(tmp_path), image_size=size)
        turned = samples(source)["turned.jpg"].image
        assert turned.height == 2 * turned.width
        assert np.asarray(turned)[-1, 0].argmax() == 2
        assert np.asarray(samples(source)["clear.webp"].image).min() == 255


def test_folders_are_classes_where_they_are_asked_for(pictures: Path, tmp_path: Path) -> None:
    root = shutil.copytree(pictures, tmp_path / "copy")
    (root / "red/deep").mkdir()
    (root / "red/0.jpg").rename(root / "red/deep/0.jpg")
    source = PictureFolder(str(root), captions="none", classes=True, heldout=0)
    assert source.class_names == ("blue", "green", "red")
    labels = {file: sample.label for file, sample in samples(source).items()}
    assert labels["red/deep/0.jpg"] == labels["red/1.png"] == 2
    assert {sample.caption for sample in samples(source).values()} == {""}
    write_shards(source, tmp_path / "shards")
    index = ShardIndex.build(tmp_path / "shards/train", needs=Needs(captions=False, classes=3))
    assert sorted(entry.label for entry in index) == [0] * 8 + [1] * 8 + [2] * 8
    assert json.loads((tmp_path / "shards/dataset.json").read_text())["config"]["classes"] == ["blue", "green", "red"]


def test_what_is_unusable_is_named_and_ends_nothing(pictures: Path, tmp_path: Path) -> None:
    root = shutil.copytree(pictures, tmp_path / "copy")
    (root / "red/0.jpg").write_bytes((pictures / "red/0.jpg").read_bytes()[:300])
    (root / "green/1.png").write_bytes(b"no picture")
    (root / "phone.HEIC").write_bytes(b"ftypheic")
    (root / "nothing.webp").symlink_to("nowhere")
    (root / ".hidden.jpg").write_bytes(b"")
    (root / "notes.md").write_text("no picture, and none of its name")
    (root / "blue/1.txt").unlink()
    source = PictureFolder(str(root), classes=True, captions="txt")
    report = write_shards(pickle.loads(pickle.dumps(source)), tmp_path / "shards")
    names = {problem.key for problem in report.problems}
    assert names == {"red/0.jpg", "green/1.png", "phone.HEIC", "nothing.webp"}
    with (tmp_path / "shards" / PROBLEMS).open() as file:
        assert {row["key"] for row in csv.DictReader(file)} == names
    again = write_shards(source, tmp_path / "shards")
    assert (again.problems, again.written) == (report.problems, 0)
    assert sum(report.counts.values()) == 22
    index = ShardIndex.build(tmp_path / "shards/train", needs=Needs(captions=False))
    assert len(index) == report.counts["train"]
    assert index.problems == ()
    assert ShardDataset(index, 16)[0]["image"].shape == (3, 16, 16)


def test_the_shards_hold_files_as_they_are(pictures: Path, tmp_path: Path) -> None:
    write_shards(PictureFolder(str(pictures), heldout=0), tmp_path)
    with tarfile.open(tmp_path / "train/00000.tar") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    stored = {json.loads(content)["file"]: name[:-5] for name, content in members.items() if name.endswith(".json")}
    assert members[f"{stored['blue/2.webp']}.webp"] == (pictures / "blue/2.webp").read_bytes()
    assert members[f"{stored['blue/2.webp']}.txt"] == b"a plain blue picture"
    with Image.open(io.BytesIO(members[f"{stored['red/0.jpg']}.jpg"])) as image:
        assert image.size == (40, 30)


def test_other_pictures_are_another_dataset(pictures: Path, tmp_path: Path) -> None:
    root = shutil.copytree(pictures, tmp_path / "copy")
    write_shards(PictureFolder(str(root)), tmp_path / "shards")
    moved = shutil.move(root, tmp_path / "moved")
    assert write_shards(PictureFolder(str(moved)), tmp_path / "shards").written == 0
    (tmp_path / "moved/red/0.txt").write_text("another caption")
    with pytest.raises(ValueError, match="another configuration"):
        write_shards(PictureFolder(str(moved)), tmp_path / "shards")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"folder": "nowhere"}, r"dataset\.folder=nowhere: no such folder"),
        ({"heldout": 1.0}, r"dataset\.heldout=1\.0.*0\.1"),
        ({"image_size": 0}, r"dataset\.image_size=0.*give 1 or more"),
        ({"image_format": "gif"}, r"image_format='gif' is unknown"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], told: str, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        write_shards(PictureFolder(**{"folder": str(pictures), **settings}), tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


def test_a_folder_without_a_usable_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("no picture")
    with pytest.raises(ValueError, match=r"holds no picture; give a folder of JPEG, PNG or WebP"):
        PictureFolder(str(tmp_path)).count("train")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"no sample that can be used; broken\.jpg: undecodable image"):
        write_shards(PictureFolder(str(tmp_path)), tmp_path / "shards")


def test_a_folder_of_which_nothing_is_held_out_says_so(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not held_out(PictureFolder(str(pictures), heldout=0))
    assert held_out(PictureFolder(str(pictures), heldout=0.4))
    assert "is held out" not in caplog.text
    assert not held_out(PictureFolder(str(pictures), heldout=1e-9))
    assert "none of 24 pictures is held out by dataset.heldout=1e-09; give more" in caplog.text
