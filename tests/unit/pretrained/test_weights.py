"""Weight files are checked before they are trusted."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ldmlab.pretrained.weights import load_tensors, require_file, sha256_of, verify_checksum


class _Malicious:
    """Would create a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_sha256_is_that_of_the_contents(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc" * 100_000)
    assert sha256_of(file) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_an_absent_or_altered_file_is_refused_with_the_fix(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    with pytest.raises(ValueError, match=r"does not exist; fetch it again"):
        verify_checksum(file, "00", "fetch it again")
    file.write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"has sha256 ba78.*fetch it again"):
        verify_checksum(file, "00", "fetch it again")
    verify_checksum(file, hashlib.sha256(b"abc").hexdigest(), "fetch it again")


def test_plain_tensors_load(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3)}, tmp_path / "weights")
    assert load_tensors(tmp_path / "weights")["a"].tolist() == [0, 1, 2]


def test_safetensors_and_training_checkpoints_load(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3)}, tmp_path / "weights.safetensors")
    torch.save({"epoch": 3, "state_dict": {"module.a": torch.arange(3)}}, tmp_path / "weights.pt")
    torch.save({"model": {"a": torch.arange(3)}}, tmp_path / "weights.pth")
    for path in tmp_path.iterdir():
        assert load_tensors(path)["a"].tolist() == [0, 1, 2]


def test_a_damaged_safetensors_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-1])
    save_file({}, tmp_path / "empty.safetensors")
    for name in ("cut", "empty"):
        with pytest.raises(ValueError, match=rf"{name}\.safetensors' is no state dict of plain tensors"):
            load_tensors(tmp_path / f"{name}.safetensors")


def test_a_path_that_is_none_or_leads_nowhere_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights is null; fetch them"):
        require_file(None, "fetch them")
    with pytest.raises(ValueError, match="does not exist; fetch them"):
        require_file(tmp_path, "fetch them")
    (tmp_path / "weights").touch()
    assert require_file(str(tmp_path / "weights"), "fetch them") == tmp_path / "weights"


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_pickled_code_is_refused_and_not_run(tmp_path: Path, writer: str) -> None:
    file, target = tmp_path / "weights", tmp_path / "harm"
    if writer == "torch":
        torch.save({"a": _Malicious(target)}, file)
    else:
        file.write_bytes(pickle.dumps(_Malicious(target), protocol=2))
    with pytest.raises(ValueError, match="no state dict of plain tensors"):
        load_tensors(file)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"no weights at all"])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(ValueError, match="no state dict of plain tensors"):
        load_tensors(tmp_path / "weights")


def test_what_asks_for_more_than_it_holds_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"a": bytearray(5)}, tmp_path / "weights")
    with pytest.raises(ValueError, match=r"no state dict of plain tensors: .*it calls \w+\.bytearray"):
        load_tensors(tmp_path / "weights")


def test_a_program_of_torchscript_is_refused_as_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights", "w") as archive:
        for name in ("data.pkl", "code/__torch__/module.py", "constants.pkl"):
            archive.writestr(f"clip/{name}", b"")
    with pytest.raises(ValueError, match="it is a program of TorchScript, as OpenAI's own files are; give a"):
        load_tensors(tmp_path / "weights")


def test_something_else_than_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "weights")
    with pytest.raises(ValueError, match="give the file of a state dict"):
        load_tensors(tmp_path / "weights")
