from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.data import folder_lock as module
from ldmlab.data.folder_lock import NAME, folder_lock


def write(path: Path, host: str) -> None:
    path.write_text(json.dumps({"host": host, "pid": 12345, "since": "yesterday"}))


def test_a_second_writer_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a", "output_dir"):
        me = f"process {os.getpid()} on {socket.gethostname()} writes there since"
        with (
            pytest.raises(ValueError, match=f"output_dir={tmp_path / 'a'}: {me}"),
            folder_lock(tmp_path / "a", "output_dir"),
        ):
            pass
        with folder_lock(tmp_path / "b", "output_dir"):
            pass
    with folder_lock(tmp_path / "a", "output_dir"):
        pass
    assert not list((tmp_path / "a").iterdir())


def test_the_lock_of_who_took_the_folder_over_stays(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "path"):
        (tmp_path / NAME).unlink()
        write(tmp_path / NAME, "elsewhere")
    assert (tmp_path / NAME).exists()


def test_an_error_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder_lock(tmp_path, "path"):
        raise KeyboardInterrupt
    with folder_lock(tmp_path, "path"):
        pass


@pytest.mark.parametrize(
    "content", ["", "\0" * 60, '{"host": 5', '{"host": ' + "[" * 4000, '{"host": "x", "pid": 1e999}', None]
)
def test_what_a_killed_process_of_this_host_left_does_not_block(tmp_path: Path, content: str | None) -> None:
    if content is None:
        write(tmp_path / NAME, socket.gethostname())
    else:
        (tmp_path / NAME).write_text(content)
    with folder_lock(tmp_path, "path"):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("locks", [True, False])
def test_a_writer_on_another_host_counts_while_it_gives_signs_of_life(
    tmp_path: Path, locks: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where locks are not shared between hosts, or not there at all."""
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    if not locks:
        monkeypatch.setattr(module, "_flock", lambda descriptor: False)
    path = tmp_path / NAME
    write(path, "elsewhere")
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with (
            pytest.raises(ValueError, match=f"process 12345 on elsewhere .* remove {path}"),
            folder_lock(tmp_path, "path"),
        ):
            pass
    finally:
        done.set()
        thread.join()
    assert f"path={tmp_path}: watching for 0 s whether process 12345 on elsewhere still writes there" in caplog.text
    with folder_lock(tmp_path, "path"):
        assert json.loads(path.read_text())["host"] == socket.gethostname()


def test_a_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.02)
    monkeypatch.setattr(module, "PATIENCE", 2.0)
    with folder_lock(tmp_path, "path"):
        assert module._is_alive(tmp_path / NAME)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "notes"])
def test_what_is_no_lock_of_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "mine").write_text("text")
    path = tmp_path / NAME
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(tmp_path / "mine"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "notes": lambda: path.write_text("[1] do not lose this"),
    }
    make[kind]()
    told = f"path={tmp_path}: {path} is no lock of ldmlab; take it away, or give another folder"
    with pytest.raises(ValueError, match=re.escape(told)), folder_lock(tmp_path, "path"):
        pass
    assert (tmp_path / "mine").read_text() == "text"
    assert kind != "notes" or path.read_text() == "[1] do not lose this"
    assert os.path.lexists(path)
