"""Captions of the pictures in a folder: KEY.txt beside each, or a table of files and captions."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ldmlab.files import read_text

log = logging.getLogger(__name__)

AUTO, TXT, NONE = "auto", "txt", "none"
TABLES = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")
"""Names of tables that are found by themselves; the latter two are those of Hugging Face's `imagefolder`."""
FILE_COLUMNS = ("file", "file_name", "filename", "image")
CAPTION_COLUMNS = ("caption", "text")
MOST_TABLE_BYTES = 2**30
MOST_TEXT_BYTES = 2**16


def read_captions(folder: Path, pictures: Collection[str], captions: str = AUTO) -> dict[str, str]:
    """Captions by picture; pictures without one are left out, and a warning counts them where others have one.

    Args:
        folder: of the pictures.
        pictures: their paths below it.
        captions: "txt" for KEY.txt beside KEY.jpg; a file name for a table, CSV or JSON Lines, with a column of files
            ("file" or "file_name", below the folder) and one of captions ("caption" or "text"); "none"; "auto" for the
            table in the folder that has one of the names in `TABLES`, else KEY.txt.

    Raises:
        ValueError: the table is absent, ambiguous, or no such table; its line is named.
    """
    if captions == NONE:
        return {}
    table = _table_of(folder, captions)
    found = _beside(folder, pictures) if table is None else _from_table(table, pictures)
    lacking = sorted(set(pictures) - found.keys())
    if captions != AUTO and pictures and not found:
        raise ValueError(
            f"dataset.captions={captions}: no picture in {folder} has a caption; use dataset.captions=none"
        )
    if found and lacking:
        log.warning("%d of %d pictures have no caption (first: %s)", len(lacking), len(pictures), lacking[0])
    return found


def _table_of(folder: Path, captions: str) -> Path | None:
    if captions == TXT:
        return None
    if captions == AUTO:
        there = [folder / name for name in TABLES if (folder / name).is_file()]
        if len(there) > 1:
            names = " and ".join(path.name for path in there)
            raise ValueError(
                f"dataset.captions=auto: {folder} has {names}; choose one by dataset.captions={there[0].name}"
            )
        return there[0] if there else None
    for path in (folder / captions, Path(captions)):
        if path.is_file():
            return path
    raise ValueError(
        f"dataset.captions={captions}: no such file, here or in {folder}; give a table (.csv or .jsonl), txt, none or"
        " auto"
    )


def _beside(folder: Path, pictures: Collection[str]) -> dict[str, str]:
    found, unreadable = {}, []
    for picture in pictures:
        path = (folder / picture).with_suffix(".txt")
        try:
            caption = _one_line(read_text(path, MOST_TEXT_BYTES))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            unreadable.append(str(error))
            continue
        if caption:
            found[picture] = caption
    if unreadable:
        log.warning("%d captions cannot be read (first: %s)", len(unreadable), unreadable[0])
    return found


def _from_table(table: Path, pictures: Collection[str]) -> dict[str, str]:
    try:
        text = read_text(table, MOST_TABLE_BYTES).removeprefix("\ufeff")
    except (OSError, ValueError) as error:
        raise ValueError(f"dataset.captions={table}: cannot be read ({error}); write it as UTF-8 text") from error
    rows = _json_lines(table, text) if table.suffix.lower() in (".jsonl", ".json", ".ndjson") else _csv(table, text)
    found: dict[str, str] = {}
    strangers, twice = [], []
    for file, caption in rows:
        name = PurePosixPath(file.replace("\\", "/")).as_posix()
        if name not in pictures:
            strangers.append(name)
        elif name in found:
            twice.append(name)
        elif caption:
            found[name] = caption
    for names, what in (
        (strangers, "name no picture that is there"),
        (twice, "caption a picture again, and are left out"),
    ):
        if names:
            log.warning("%s: %d rows %s (first: %s)", table, len(names), what, names[0])
    return found


def _csv(table: Path, text: str) -> Iterator[tuple[str, str]]:
    rows = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        for row in rows:
            yield _columns(table, rows.line_num, row)
    except csv.Error as error:
        raise ValueError(f"dataset.captions={table}, line {rows.line_num}: is no CSV ({error}); mend it") from error


def _json_lines(table: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"dataset.captions={table}, line {number}: is no JSON ({error}); mend it") from error
            yield _columns(table, number, row)


def _columns(table: Path, line: int, row: Any) -> tuple[str, str]:
    """The file and the caption of a row."""
    values = row if isinstance(row, Mapping) else {}
    file = next((values[name] for name in FILE_COLUMNS if values.get(name)), None)
    if not isinstance(file, str) or not {*values} & {*CAPTION_COLUMNS}:
        raise ValueError(
            f"dataset.captions={table}, line {line}: has no file and caption; name the columns file,caption"
            " (or file_name,text)"
        )
    caption = next((values[name] for name in CAPTION_COLUMNS if values.get(name)), "")
    if not isinstance(caption, str):
        raise ValueError(f"dataset.captions={table}, line {line}: its caption is no text; write it in quotes")
    return file, _one_line(caption)


def _one_line(text: str) -> str:
    return " ".join(text.removeprefix("\ufeff").replace("\0", " ").split())
