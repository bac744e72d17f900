from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ldmlab.files import kind_of, open_regular, read_regular, read_text


@pytest.fixture(params=["a pipe", "a device", "a socket", "a folder"])
def odd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """What a path may name that is no file."""
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    path = Path("odd")
    if request.param == "a pipe":
        os.mkfifo(path)
    elif request.param == "a device":
        path.symlink_to("/dev/zero")
    elif request.param == "a socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    else:
        path.mkdir()
    return request.param, path


def test_only_files_are_opened(odd: tuple[str, Path]) -> None:
    kind, path = odd
    assert kind_of(path) == kind
    with pytest.raises(OSError, match=r"^\[Errno \d+\] (is|Is a directory|No such device)") as raised:
        open_regular(path)
    assert raised.value.filename == "odd"


def test_files_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xc3\xa9")
    assert kind_of(path) is None
    assert read_regular(path, 5) == b"caf\xc3\xa9"
    assert read_text(path) == "café"
    with pytest.raises(OSError, match="is longer than 4 bytes"):
        read_regular(path, 4)


def test_text_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfea")
    with pytest.raises(ValueError, match=r"a\.txt: is no UTF-8 text"):
        read_text(tmp_path / "a.txt")
