from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ldmlab.cli.command import find
from ldmlab.configs.errors import UserError
from ldmlab.configs.user_files import check_files, expand_paths


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    return tmp_path / "me"


def test_the_home_stands_in_wherever_a_key_names_a_file(home: Path) -> None:
    given = {
        "ckpt": "~/a.ckpt",
        "output_dir": "~",
        "data": {"path": "~/laion", "image_size": 64, "heldout_path": None},
        "conditioner": {"text": {"weights": "~/clip.bin"}, "length": 3},
        "logger": {"folder": "${output_dir}/logs"},
        "prompts": ["~ a sign"],
        "prompt": "~/x",
    }
    config = OmegaConf.create(given)
    expand_paths(config)
    assert OmegaConf.to_container(config, resolve=True) == {
        **given,
        "ckpt": f"{home}/a.ckpt",
        "output_dir": str(home),
        "data": {"path": f"{home}/laion", "image_size": 64, "heldout_path": None},
        "conditioner": {"text": {"weights": f"{home}/clip.bin"}, "length": 3},
        "logger": {"folder": f"{home}/logs"},
    }


def test_a_user_who_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"there is no user 'nobody-at-all'; write \./~nobody"):
        expand_paths(OmegaConf.create({"ckpt": "~nobody-at-all/a"}))


@pytest.mark.parametrize(
    "values",
    [
        {"image": "PIPE"},
        {"mask": "PIPE"},
        {"prompts": "PIPE"},
        {"ckpt": "PIPE"},
        {"autoencoder_ckpt": "PIPE"},
        {"path": "PIPE"},
        {"guidance": {"ckpt": "PIPE"}},
        {"extractor": {"weights": "PIPE"}},
        {"loss": {"perceptual": {"weights": "PIPE"}}},
        {"data": {"path": "PIPE"}},
        {"tokenizer": "~/pipe"},
    ],
)
def test_a_pipe_is_not_waited_for(values: dict[str, object], home: Path) -> None:
    home.mkdir()
    os.mkfifo(home / "pipe")
    given = OmegaConf.to_container(OmegaConf.create(str(OmegaConf.to_yaml(values)).replace("PIPE", f"{home}/pipe")))
    with pytest.raises(UserError, match="is a pipe, which may never end; give a file"):
        check_files(find("sample"), given)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/dev/stdin"])
def test_devices_are_not_read(device: str) -> None:
    if not os.path.exists(device) or os.path.isfile(device):
        pytest.skip("is a file here")
    with pytest.raises(UserError, match=f"image={device}: is a"):
        check_files(find("edit"), {"image": device})


def test_what_is_no_file_in_other_keys_is_left_alone(home: Path) -> None:
    check_files(
        find("sample"), {"output_dir": "/dev/null", "prompts": ["/dev/zero"], "prompt": "/dev/zero", "ckpt": None}
    )
    check_files(
        find("sample"), {"ckpt": "shapes/dit", "image": "nowhere.png", "mask": "a\0b", "path": str(home.parent)}
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("model_index.json", "bring a folder of diffusers into ldmlab's format (ldmlab import {folder}), and give"),
        ("config.json", "ldmlab import {folder}"),
        ("last.ckpt", "give the checkpoint in it, {folder}/last.ckpt"),
        ("model.safetensors", "give the checkpoint in it, {folder}/model.safetensors"),
        ("note.txt", "give a checkpoint (.ckpt or .safetensors)"),
    ],
)
@pytest.mark.parametrize("key", ["ckpt", "autoencoder_ckpt", "guidance.ckpt"])
def test_a_folder_in_the_place_of_a_checkpoint(key: str, content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / content).touch()
    values = OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={tmp_path}"]))
    with pytest.raises(UserError) as raised:
        check_files(find("train"), values)  # type: ignore[arg-type]
    assert str(raised.value).startswith(f"{key}={tmp_path}: is a folder; ")
    assert told.format(folder=tmp_path) in str(raised.value)
    check_files(replace(find("import"), folders=(key,)), values)  # type: ignore[arg-type]


def test_data_is_not_written_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data\.path=.*file: is a file; give a folder"):
        check_files(find("data"), {"data": {"path": str(tmp_path / "file")}})
