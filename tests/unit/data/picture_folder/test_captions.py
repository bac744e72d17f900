"""Where captions of one's own pictures come from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ldmlab.data.picture_folder.captions import read_captions

FILES = ("a.jpg", "deep/b.png", "c.webp")


def test_beside_the_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text(" two\nlines ", encoding="utf-8-sig")
    (tmp_path / "deep/b.txt").write_bytes(b"caf\xe9")
    with caplog.at_level(logging.WARNING):
        assert read_captions(tmp_path, FILES) == read_captions(tmp_path, FILES, "txt") == {"a.jpg": "two lines"}
    assert "2 of 3 pictures have no caption (first: c.webp)" in caplog.text
    assert "1 captions cannot be read (first: " in caplog.text
    assert read_captions(tmp_path, FILES, "none") == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", 'file,caption\na.jpg,"one, with a comma"\ndeep\\b.png,"of two\nlines"\n'),
        ("metadata.csv", '\ufefffile_name,text,more\na.jpg,"one, with a comma",1\n./deep/b.png,of two lines,2\n'),
        (
            "metadata.jsonl",
            '{"file_name": "a.jpg", "text": "one, with a comma"}\n\n'
            '{"file_name": "deep/b.png", "text": "of two lines"}',
        ),
        ("captions.csv", 'File , Caption\r\na.jpg,"one, with a comma"\r\ndeep/b.png,of\x85two\u2028lines\r\n'),
        (
            "metadata.jsonl",
            '{"file": "a.jpg", "caption": "one, with a comma"}\r\n{"file": "deep/b.png", "caption": "of two\\nlines"}',
        ),
        ("captions.tsv", "file\tcaption\na.jpg\tone, with a comma\ndeep/b.png\tof two lines\n"),
    ],
)
def test_a_table(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "a.txt").write_text("of no use, since there is a table")
    expected = {"a.jpg": "one, with a comma", "deep/b.png": "of two lines"}
    assert read_captions(tmp_path, FILES) == read_captions(tmp_path, FILES, name) == expected
    assert read_captions(tmp_path, FILES, str(tmp_path / name)) == expected


def test_tables_in_the_folders_below_name_files_from_there(tmp_path: Path) -> None:
    for name, text in {"train": "a.jpg,one\ndeep/b.jpg,two\n", "test": "a.jpg,three\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metadata.csv").write_text(f"file_name,text\n{text}")
    files = ("train/a.jpg", "train/deep/b.jpg", "test/a.jpg", "c.jpg", "train/c.jpg")
    for name in ("c.txt", "train/c.txt"):
        (tmp_path / name).write_text("four")  # of which the latter is of no use, since there is a table
    assert read_captions(tmp_path, files) == dict(zip(files, ("one", "two", "three", "four"), strict=False))


def test_names_with_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("file,caption\ncafe\u0301.jpg,a bar\n")
    assert read_captions(tmp_path, ["caf\u00e9.jpg"]) == {"caf\u00e9.jpg": "a bar"}


def test_rows_of_other_files_and_second_ones_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "captions.csv").write_text("file,caption\na.jpg,first\na.jpg,second\nz.jpg,gone\nc.webp,\n")
    with caplog.at_level(logging.WARNING):
        assert read_captions(tmp_path, FILES) == {"a.jpg": "first"}
    assert "1 rows name no picture that is there (first: z.jpg)" in caplog.text
    assert "1 rows caption a picture again, and are left out (first: a.jpg)" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("captions.csv", b"picture,words\na.jpg,one\n", r"captions\.csv, line 2: has no file and caption"),
        ("captions.csv", b"file\na.jpg\n", "line 2: has no file and caption"),
        ("captions.csv", b'file,caption\na.jpg,"open', "is no CSV"),
        ("captions.csv", b"file,caption\na.jpg,red, with a comma\n", "line 2: has more columns .* commas in quotes"),
        ("captions.csv", b"file,caption\na.jpg,caf\xe9", "cannot be read .*UTF-8"),
        ("captions.jsonl", b'{"file": "a.jpg", "text": "one"}\n{"file":', "line 2: is no JSON"),
        ("captions.jsonl", b'["a.jpg"]', "line 1: has no file and caption"),
        ("captions.jsonl", b'{"file": "a.jpg", "text": 3}', "line 1: its caption is no text"),
    ],
)
def test_a_damaged_table_is_refused(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        read_captions(tmp_path, FILES)


def test_what_is_not_there_or_ambiguous_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"captions=words\.csv: no such file"):
        read_captions(tmp_path, FILES, "words.csv")
    with pytest.raises(ValueError, match=r"captions=txt: no picture in .* has a caption; use dataset\.captions=none"):
        read_captions(tmp_path, FILES, "txt")
    for name in ("captions.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match=r"has captions\.csv and metadata\.jsonl; choose one"):
        read_captions(tmp_path, FILES)
