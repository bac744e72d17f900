"""What is not there is told from the config alone, which takes no import of PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldmlab.cli.command import find
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError
from ldmlab.configs.user_files import require_files


def check(command: str, overrides: list[str]) -> None:
    """What happens before a command is imported."""
    checks = find(command)
    require_files(checks, validate(command, overrides, checks=checks))


@pytest.mark.parametrize(
    ("command", "overrides", "told"),
    [
        ("sample", ["ckpt=shapes/dti"], "ckpt=shapes/dti: no such file; .*did you mean 'shapes/dit'"),
        ("evaluate", ["ckpt=gone.safetensors"], "ckpt=gone.safetensors: no such file"),
        ("sample", ["guidance=autoguidance", "guidance.ckpt=gone"], "guidance.ckpt=gone: no such file"),
        ("train", ["data.path=gone"], "data.path=gone: no such folder"),
        pytest.param(
            "train",
            ["data.path=.", "data.heldout_path=gone"],
            "data.heldout_path=gone: no such folder",
            marks=pytest.mark.slow,
        ),
        ("train", ["data.path=.", "autoencoder_ckpt=gone"], "autoencoder_ckpt=gone: no such file"),
        pytest.param(
            "train",
            ["data.path=.", "conditioner_ckpt=gone"],
            "conditioner_ckpt=gone: no such file",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "train", ["data.path=.", "ckpt_path=gone.ckpt"], "ckpt_path=gone.ckpt: no such file", marks=pytest.mark.slow
        ),
        pytest.param(
            "describe", ["autoencoder_ckpt=gone"], "autoencoder_ckpt=gone: no such file", marks=pytest.mark.slow
        ),
        ("evaluate", ["data.path=gone"], "data.path=gone: no such folder"),
        ("edit", ["method=sdedit", "image=gone.png", "target=x"], "image=gone.png: no such file"),
        ("edit", ["method=inpaint", "image=.", "mask=gone.png", "target=x"], "mask=gone.png: no such file"),
        ("sample", ["prompts=gone.txt"], "prompts=gone.txt: no such file"),
        ("import", ["path=gone"], "path=gone: no such file or folder"),
        ("export", ["ckpt=gone", "output=new"], "ckpt=gone: no such file"),
        pytest.param("attention", ["prompt=x", "ckpt=gone"], "ckpt=gone: no such file", marks=pytest.mark.slow),
        ("train", ["data.path=.", "trainer.max_steps=-2"], "trainer.max_steps=-2: input should be greater"),
    ],
)
def test_is_told(
    command: str, overrides: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With key, value and fix; in a folder where nothing is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=told):
        check(command, overrides)


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("sample", ["ckpt=shapes/unet", "output_dir=new"]),
        ("train", ["data.path=.", "ckpt_path=auto"]),
        pytest.param("train", ["data.path=.", "ckpt_path=last"], marks=pytest.mark.slow),
        ("train", ["data.path=.", "autoencoder_ckpt=shapes/dit"]),
        ("describe", ["data.path=gone"]),
        ("data", ["data.path=new"]),
        ("import", ["path=.", "output=new.safetensors"]),
    ],
)
def test_what_is_to_be_made_or_has_a_name_of_ours_passes(
    command: str, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check(command, overrides)
