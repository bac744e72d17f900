"""Prompts as they were written, from files and from the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ldmlab.drawing.prompt_file import BLANK, checked, picture_count, read_prompts

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"))


@given(st.lists(TEXT.filter(lambda text: text.strip(BLANK).strip()), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
def test_what_is_drawn_can_be_read_back(tmp_path: Path, texts: list[str]) -> None:
    """U+2028, U+0085, form feeds, byte-order marks and blanks around a prompt among them."""
    drawn = checked(texts)
    path = tmp_path / "prompts.txt"
    path.write_bytes("".join(f"{prompt}\n" for prompt in drawn).encode())
    assert read_prompts(str(path)) == drawn
    assert checked(drawn) == drawn
    for text, prompt in zip(texts, drawn, strict=True):
        assert prompt in text
        assert not text.replace(prompt, "", 1).strip(BLANK)


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n \t\n"])
def test_lines_of_any_system(tmp_path: Path, start: str, end: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(f"{start}a red star{end}  a big\u2028blue\x0bcircle\x85{end}ein grüner Stern".encode())
    assert read_prompts(str(path)) == ["a red star", "a big\u2028blue\x0bcircle\x85", "ein grüner Stern"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a red star".encode("utf-16"), "is UTF-16"),
        ("a red star".encode("utf-16-le"), "it holds zero bytes"),
        ("a red star".encode("utf-32"), "is UTF-16, or no text at all"),
        (b"a star\nun caf\xe9\n", "is no UTF-8 text (invalid continuation byte in line 2); save it as UTF-8"),
        (b"", "holds no prompt"),
        (b"\xef\xbb\xbf", "holds no prompt"),
        (" \n\u2028\n\t\n".encode(), "holds no prompt"),
    ],
)
def test_files_that_hold_no_prompts_are_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - compared below
        read_prompts(str(path))
    assert str(error.value).startswith(f"prompts={path}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**40)
    for name, told in (("", "is a directory"), ("pipe", "a pipe"), ("huge", "longer than"), ("absent", "no such file")):
        with pytest.raises(ValueError, match=f"prompts={tmp_path / name}: .*{told}"):
            read_prompts(str(tmp_path / name))


@pytest.mark.parametrize("prompt", ["a red\nstar", "a red\r\nstar", "a\0star"])
def test_a_prompt_is_one_line(prompt: str) -> None:
    with pytest.raises(ValueError, match="holds a line break; write it in one line"):
        checked(["a star", prompt])


@pytest.mark.parametrize("prompt", ["", " \t", "\ufeff", "\u2028"])
def test_a_prompt_says_something(prompt: str) -> None:
    with pytest.raises(ValueError, match="says nothing"):
        checked([prompt])


@given(n=st.integers(1, 100), count=st.integers(1, 40))
def test_every_prompt_gets_as_many_pictures(n: int, count: int) -> None:
    prompts = ["a star"] * count
    assert picture_count(None, prompts, 16) == max(16, count)
    if n % count == 0:
        assert picture_count(n, prompts, 16) == n
        return
    with pytest.raises(ValueError) as error:  # noqa: PT011 - compared below
        picture_count(n, prompts, 16)
    assume("give n=" in str(error.value))
    proposed = int(str(error.value).partition("give n=")[2].partition(",")[0])
    assert proposed >= max(n, count)
    assert picture_count(proposed, prompts, 16) == proposed
