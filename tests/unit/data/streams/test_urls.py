"""Urls as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldmlab.data.streams.urls import expand_urls


def urls(given: str | list[str], secure: bool = True) -> tuple[str, ...]:
    return expand_urls(given, "data.urls", secure)


def test_braces_lists_patterns_and_files_of_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert urls("http://host/{008..010}.tar") == tuple(f"http://host/{n}.tar" for n in ("008", "009", "010"))
    assert urls(["a{1,2}.tar", "gs://b/c.tar"]) == ("a1.tar", "a2.tar", "gs://b/c.tar")
    assert urls("pipe:cat {0..1}.tar | gunzip", secure=False) == ("pipe:cat 0.tar | gunzip", "pipe:cat 1.tar | gunzip")
    for name in ("b.tar", "a.tar", "c.txt"):
        (tmp_path / name).touch()
    assert urls(f"{tmp_path}/*.tar") == (f"{tmp_path}/a.tar", f"{tmp_path}/b.tar")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert urls("~/b.tar") == (f"{tmp_path}/b.tar",)
    (tmp_path / "list.txt").write_text("# shards\n\nhttp://host/{0..1}.tar\r\n /data/x.tgz \n")
    assert urls(str(tmp_path / "list.txt")) == ("http://host/0.tar", "http://host/1.tar", "/data/x.tgz")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("pipe:cat x.tar", r"^data.urls=pipe:cat x.tar: runs a command of the shell; allow it by data.secure=false"),
        ("s3://bucket/x.tar", r"^data.urls=s3://bucket/x.tar: webdataset opens no s3: urls; .*pipe:aws s3 cp"),
        ("{0..3.tar", r"^data.urls=\{0..3.tar: Unbalanced braces"),
        ("nothing.txt", r"^data.urls=nothing.txt: cannot be read \(No such file"),
        ("nothing*.tar", r"^data.urls=nothing\*.tar: names no shard"),
        ([], r"names no shard"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_a_line(given: str | list[str], line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        urls(given)
    assert "\n" not in str(caught.value)


def test_a_folder_is_for_other_data(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"is a folder; read it by data=shards data.path={tmp_path}"):
        urls(str(tmp_path))
