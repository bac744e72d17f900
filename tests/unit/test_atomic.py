"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

import pytest

from ldmlab.atomic import atomic_file, remove_stale, write_json

TOKEN = "0123456789abcdef"
TOKEN_NAME = f".a.json.{TOKEN}.tmp"


def test_the_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with atomic_file(path) as file:
        file.write(b"whole")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), OSError(errno.EIO, "broken disk")])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_full_disk_is_told_with_path_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"free some space and run again.*a\.json") as caught:
        write_json(tmp_path / "a.json", {})
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with atomic_file(path) as first:
        first.write(b"first")
        with atomic_file(path) as second:
            second.write(b"second, and longer")
        assert path.read_bytes() == b"second, and longer"
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("name", [".a.json.tmp", TOKEN_NAME])
def test_a_planted_link_is_never_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nor where somebody could guess the temporary file's name."""
    victim = tmp_path / "authorized_keys"
    victim.write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).symlink_to(victim)
    monkeypatch.setattr(secrets, "token_hex", lambda count: TOKEN)
    if name == TOKEN_NAME:
        with pytest.raises(FileExistsError, match=r"a\.json"):
            write_json(tmp_path / "data" / "a.json", [1])
    else:
        write_json(tmp_path / "data" / "a.json", [1])
        assert (tmp_path / "data" / "a.json").read_text() == "[\n  1\n]\n"
    assert victim.read_text() == "mine"
    assert (tmp_path / "data" / name).is_symlink()


@pytest.mark.parametrize("kind", ["link", "broken link", "pipe"])
def test_what_stands_in_the_place_is_replaced_not_followed(tmp_path: Path, kind: str) -> None:
    path, victim = tmp_path / "a.json", tmp_path / "victim"
    if kind == "link":
        victim.write_text("mine")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim)
    write_json(path, [1])
    assert path.read_text() == "[\n  1\n]\n"
    assert not path.is_symlink()
    assert victim.read_text() == "mine" if kind == "link" else not victim.exists()


def test_a_linked_folder_is_written_to_as_the_user_means_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to("elsewhere")
    write_json(tmp_path / "run" / "a.json", [1])
    assert os.listdir(tmp_path / "elsewhere") == ["a.json"]


def test_the_mode_is_the_umasks(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", [1])
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_what_a_kill_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    (tmp_path / TOKEN_NAME).write_bytes(b"left by a kill")
    (tmp_path / ".a.json.tmp").write_bytes(b"somebody else's")
    with atomic_file(tmp_path / "b.bin") as file:
        file.write(b"b")
        remove_stale.cache_clear()  # as in another process
        write_json(tmp_path / "a.json", [1])
    assert sorted(os.listdir(tmp_path)) == [".a.json.tmp", "a.json", "b.bin"]


def test_names_may_be_as_long_as_the_file_system_lets_them(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_json(path, [1])
    assert path.is_file()


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'.*nowhere/a\.json'"):
        write_json(tmp_path / "nowhere" / "a.json", [1])
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"'.*/folder'"):
        write_json(tmp_path / "folder", [1])
    assert os.listdir(tmp_path) == ["folder"]
