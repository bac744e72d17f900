"""Lists of URLs of every format, what is found in them, and what is refused in one line."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldmlab.data.laion.columns import Columns, choose_columns
from ldmlab.data.laion.url_list import UrlList

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
ROWS = {"URL": ["http://a/1", "http://a/2"], "TEXT": ["one, two", None], "pwatermark": [0.0, None]}


def table(**more: Any) -> Any:
    return pa.table({**ROWS, **more})


def written(path: Path, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'URL,TEXT,pwatermark\nhttp://a/1,"one, two",0.0\n\nhttp://a/2,"lines\nof text",\n'),
        ("a.tsv.gz", "URL\tTEXT\tpwatermark\nhttp://a/1\tone, two\t0.0\r\nhttp://a/2\t\t\r\n"),
        ("a.jsonl", '{"URL": "http://a/1", "TEXT": "one, two", "pwatermark": 0.0}\n{"URL": "http://a/2"}\n'),
    ],
)
def test_tables_of_text(name: str, text: str, tmp_path: Path) -> None:
    urls = UrlList.read(written(tmp_path / name, text), "urls")
    assert (urls.rows, urls.format) == ((2,), name.partition(".")[2])
    assert choose_columns(urls, "auto", "auto", "auto") == Columns("URL", "TEXT", ("pwatermark",))


def test_one_url_a_line(tmp_path: Path) -> None:
    urls = UrlList.read(written(tmp_path / "a.txt", "http://a/1\nhttp://a/2\n"), "urls")
    assert urls.rows == (2,)
    assert choose_columns(urls, "auto", "auto", "auto") == Columns("url", None, ())


def test_a_folder_of_parquet(tmp_path: Path) -> None:
    for number, name in enumerate(("part-1.parquet", "part-0.parquet")):
        parquet.write_table(pa.concat_tables([table()] * (number + 1)), tmp_path / name)
    for name in ("readme.md", "readme.txt"):
        written(tmp_path / name, "of no interest")
    urls = UrlList.read(tmp_path, "urls")
    assert ([file.name for file in urls.files], urls.rows) == (["part-0.parquet", "part-1.parquet"], (4, 2))
    assert (urls.shards(4), urls.shards(3), urls.shards(1)) == (2, 3, 6)
    parquet.write_table(table().drop(["TEXT"]), tmp_path / "part-2.parquet")
    with pytest.raises(ValueError, match=r"part-2\.parquet lacks 'TEXT', a column of part-0\.parquet"):
        UrlList.read(tmp_path, "urls")


def test_columns_that_img2dataset_writes_or_json_cannot_hold_are_left_out(tmp_path: Path) -> None:
    more = {
        "width": [1, 2],
        "hash": [1, 2],
        "raw": [b"a", b"b"],
        "NSFW": ["a", "b"],
        "when": pa.array([0, 1], "date32"),
    }
    parquet.write_table(table(**more), tmp_path / "a.parquet")
    urls = UrlList.read(tmp_path / "a.parquet", "urls")
    assert choose_columns(urls, "auto", "none", "auto") == Columns("URL", None, ("TEXT", "pwatermark", "hash", "NSFW"))
    assert choose_columns(urls, "URL", "NSFW", ["hash"]) == Columns("URL", "NSFW", ("hash",))
    for settings, told in {
        ("link", "auto", "auto"): r"no column 'link', but URL, TEXT, .*dataset\.url_column=",
        ("hash", "auto", "auto"): r"dataset\.url_column=hash: is int64",
        ("auto", "words", "auto"): r"dataset\.caption_column=words: .* no such column, but URL, TEXT",
        ("auto", "auto", ("score",)): r"dataset\.columns: .* no column 'score'",
        ("auto", "auto", ("width",)): r"writes a 'width' of its own",
        ("auto", "auto", ("raw",)): r"'raw' is neither numbers nor text",
    }.items():
        with pytest.raises(ValueError, match=told):
            choose_columns(urls, *settings)


def test_a_list_without_urls_says_what_it_has(tmp_path: Path) -> None:
    parquet.write_table(table().rename_columns(["image", "TEXT", "x"]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: has no column of URLs, but image, TEXT, x; name it by"):
        choose_columns(UrlList.read(tmp_path / "a.parquet", "urls"), "auto", "auto", "auto")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.parquet", b"", r"urls=.*a\.parquet: is no parquet that can be read"),
        ("a.parquet", b"<html>no parquet</html>", "is no parquet that can be read"),
        ("a.csv", b"", "is no csv that can be read"),
        ("a.csv", b"url,caption\n", "has no rows; give a list of URLs"),
        ("a.csv", b"url,caption\nhttp://a/1,x,y\n", "is no csv .*Expected 2 columns"),
        ("a.csv.gz", b"\x1f\x8bno gzip", "is no csv"),
        ("a.jsonl", b"{", "is no jsonl that can be read"),
        ("a.xlsx", b"", r"is of no format that is known; give a file that ends in \.parquet, \.csv, \.tsv"),
    ],
)
def test_what_is_no_list_is_refused(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        UrlList.read(tmp_path / name, "urls")


def test_an_empty_parquet_and_folders_without_one_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no list of URLs"):
        UrlList.read(tmp_path, "urls")
    with pytest.raises(ValueError, match=r"urls=.*nowhere\.parquet: no such file"):
        UrlList.read(tmp_path / "nowhere.parquet", "urls")
    parquet.write_table(table().slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="has no rows"):
        UrlList.read(tmp_path / "a.parquet", "urls")
    written(tmp_path / "b.csv", "url\nhttp://a/1\n")
    with pytest.raises(ValueError, match=r"has a\.parquet and b\.csv; give a folder with lists of one format"):
        UrlList.read(tmp_path, "urls")


def test_what_is_missing_is_said_where_pyarrow_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.csv", "url\nhttp://a/1\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"urls=.*a\.csv: pyarrow, which reads lists, is missing; pip install"):
        UrlList.read(path, "urls")


def test_a_user_is_told_in_one_line(ldmlab: Callable[..., Any], tmp_path: Path) -> None:
    parquet.write_table(table().select(["TEXT"]), tmp_path / "a.parquet")
    words = ("data", "dataset=laion", f"data.path={tmp_path / 'laion'}")
    assert "a.parquet: has no column of URLs, but TEXT" in ldmlab(*words, f"urls={tmp_path}/a.parquet").refusal()
    assert "urls: no list of URLs is named" in ldmlab(*words).refusal()
    assert not [*(tmp_path / "laion").glob("*.json")]
