"""Tables of pictures and captions: CSV, TSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ldmlab.files import read_text

NAMES = ("captions", "metadata")
"""Of tables that are found by themselves; the latter is that of Hugging Face's `imagefolder`."""
JSON_LINES = (".jsonl", ".json", ".ndjson")
KINDS = (".csv", ".tsv", ".jsonl")
FILE_COLUMNS = ("file", "file_name", "filename", "image", "image_path", "filepath", "path")
CAPTION_COLUMNS = ("caption", "text", "prompt")
MOST_BYTES = 2**30


def tables_in(folder: Path) -> list[Path]:
    """The tables in a folder, not in those below it, that have one of the names."""
    return [path for name in NAMES for kind in KINDS if (path := folder / f"{name}{kind}").is_file()]


def read_table(table: Path) -> Iterator[tuple[str, str]]:
    """The file and the caption of each row, the caption on one line and "" for none.

    Args:
        table: UTF-8 text with a column of files ("file" or "file_name", relative to the table's folder) and one of
            captions ("caption" or "text"), in any case.

    Raises:
        ValueError: it is no such table; its line is named.
    """
    try:
        text = read_text(table, MOST_BYTES).removeprefix("\ufeff")
    except (OSError, ValueError) as error:
        raise ValueError(f"dataset.captions={table}: cannot be read ({error}); write it as UTF-8 text") from error
    rows = _json_lines(table, text) if table.suffix.lower() in JSON_LINES else _separated(table, text)
    return (_columns(table, line, row) for line, row in rows)


def one_line(text: str) -> str:
    """A caption without a byte order mark, NUL characters and breaks between its lines."""
    return " ".join(text.removeprefix("\ufeff").replace("\0", " ").split())


def _separated(table: Path, text: str) -> Iterator[tuple[int, Any]]:
    delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
    lines = io.StringIO(text, newline="")  # which knows the ends of lines that csv does, and no others
    rows = csv.DictReader(lines, delimiter=delimiter, strict=True)
    try:
        for row in rows:
            if None in row:
                raise ValueError(
                    f"dataset.captions={table}, line {rows.line_num}: has more columns than the first line; write a"
                    " caption with commas in quotes"
                )
            yield rows.line_num, row
    except csv.Error as error:
        raise ValueError(f"dataset.captions={table}, line {rows.line_num}: is no CSV ({error}); mend it") from error


def _json_lines(table: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"dataset.captions={table}, line {number}: is no JSON ({error}); mend it") from error


def _columns(table: Path, line: int, row: Any) -> tuple[str, str]:
    """The file and the caption of a row."""
    values = {str(name).strip().lower(): value for name, value in row.items()} if isinstance(row, Mapping) else {}
    file = next((values[name] for name in FILE_COLUMNS if values.get(name)), None)
    if not isinstance(file, str) or not {*values} & {*CAPTION_COLUMNS}:
        raise ValueError(
            f"dataset.captions={table}, line {line}: has no file and caption; name the columns file,caption"
            " (or file_name,text)"
        )
    caption = next((values[name] for name in CAPTION_COLUMNS if values.get(name)), "")
    if not isinstance(caption, str):
        raise ValueError(f"dataset.captions={table}, line {line}: its caption is no text; write it in quotes")
    return file.strip(), one_line(caption)
