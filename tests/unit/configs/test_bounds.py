from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml

from ldmlab.cli.launch import launch
from ldmlab.configs import bounds
from ldmlab.configs.bounds import bounded, check_yaml, unbounded
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 64))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "its aliases stand for"),
        ("a: &a [*a]", "in itself"),
        ("a: &a\n  b: *a", "in itself"),
        ("a: &a\n  <<: *a", "in itself"),
        ("a: &a " + "[" * 2000 + "]" * 2000, "nested too deeply"),
    ],
)
def test_yaml_that_stands_for_more_than_it_says(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=told):
        check_yaml(tmp_path / "a.yaml")


def test_aliases_of_reasonable_size_pass(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a [1, 2]\nb: *a\nc:\n  d: *a\n")
    check_yaml(tmp_path / "a.yaml")


def test_a_pipe_or_an_enormous_file_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"#" * (bounds.MOST_BYTES + 1))
    for name, told in (("a.yaml", "is a pipe, no file"), ("b.yaml", "is longer than")):
        with pytest.raises(OSError, match=told):
            check_yaml(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a0: xx\n" + "".join(f"a{i}: ${{sampler.a{i - 1}}}${{sampler.a{i - 1}}}\n" for i in range(1, 40)),
            "stand for each",
        ),
        ("a: ${sampler.a}", "Recursive interpolation detected"),
        ("defaults:\n  - mine", "stand for each other"),
        ("a: " + "[" * 400 + "]" * 400, "nested too deeply"),
        ("a: " + "9" * 5000, "mine.yaml: Exceeds the limit"),
        ("- a\n- b", "mine.yaml: holds a list; write KEY: VALUE"),
    ],
)
def test_options_that_never_end_are_told_in_one_line(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 1.0)
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler/mine.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        validate("sample", [f"hydra.searchpath=['file://{tmp_path}']", "sampler=mine"])
    assert told in str(raised.value)


def test_a_sweep_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bounds, "SECONDS", 0.5)
    with pytest.raises(UserError, match="to compose"):
        launch("sample", ["-m", "seed=range(100000)", "n=range(100000)", "batch_size=range(100000)"])


def grow() -> None:
    held = [b"x" * 2**21]
    while True:
        held.append(held[0] + b"x")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MEMORY", 2**26)
    with bounded():
        pass
    with pytest.raises(UserError, match=r"takes more than 20 s or 0\.0625 GiB to compose"), bounded():
        grow()


def test_what_is_imported_on_the_way_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.3)
    with bounded(), unbounded():
        spin(0.8)
    with pytest.raises(UserError, match="to compose"), bounded():
        import_and_compose()


def import_and_compose() -> None:
    with unbounded():
        spin(0.1)
    spin(5)


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_files_are_named_that_are_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a [")
    with pytest.raises(yaml.YAMLError):
        check_yaml(tmp_path / "a.yaml")
