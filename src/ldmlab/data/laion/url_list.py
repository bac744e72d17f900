"""Lists of URLs with captions and scores, as LAION publishes them: what they hold, read without holding it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmlab.data.arrow_errors import damage_told
from ldmlab.files import kind_of, open_regular

if TYPE_CHECKING:
    import pyarrow

TEXT = ("csv", "tsv", "jsonl", "txt")
FORMATS = ("parquet", *TEXT, *(f"{name}.gz" for name in TEXT))
"""Of files, by the ends of their names, as img2dataset calls them."""
LINK = "url"
"""The column of a file of lines, one URL each."""


@dataclass(frozen=True)
class UrlList:
    """A file, or a folder of files of one format.

    Attributes:
        path: as it was given.
        format: one of `FORMATS`.
        files: in the order that they are fetched in.
        rows: how many URLs each has.
        schema: of the first file; its columns are in all of them.
    """

    path: Path
    format: str
    files: tuple[Path, ...]
    rows: tuple[int, ...]
    schema: pyarrow.Schema

    @staticmethod
    def read(path: str | Path, key: str) -> UrlList:
        """Look at each file: a parquet's footer, of others all lines.

        Args:
            path: of the file or the folder.
            key: the setting that named it, for messages.

        Raises:
            ValueError: nothing is there, it is no list, or an empty one; pyarrow is not installed.
        """
        path = Path(path)
        where = f"{key}={path}"
        kind = _format_of(path, where)
        files = tuple(sorted(path.glob(f"*.{kind}"))) if path.is_dir() else (path,)
        found = [_look(file, kind, f"{key}={file}") for file in files]
        rows, schemas = [count for count, _ in found], [schema for _, schema in found]
        if not sum(rows):
            raise ValueError(f"{where}: has no rows; give a list of URLs")
        for file, schema in zip(files, schemas, strict=True):
            if lacking := {*schemas[0].names} - {*schema.names}:
                raise ValueError(f"{where}: {file.name} lacks '{min(lacking)}', a column of {files[0].name}")
        return UrlList(path, kind, files, tuple(rows), schemas[0])

    def shards(self, size: int) -> int:
        """How many shards of so many rows img2dataset makes of it: a file's last one may be smaller."""
        return sum(-(-count // size) for count in self.rows)


def _format_of(path: Path, where: str) -> str:
    try:
        kind = kind_of(path)
    except OSError as error:
        raise ValueError(f"{where}: {(error.strerror or str(error)).lower()}; give a list of URLs") from error
    names = [path.name] if kind != "a folder" else sorted(each.name for each in path.iterdir())
    found = {kind: name for name in names for kind in FORMATS if name.lower().endswith(f".{kind}")}
    if len(found) > 1:
        found.pop("txt", None)  # such as a readme
    if len(found) > 1:
        raise ValueError(f"{where}: has {' and '.join(found.values())}; give a folder with lists of one format")
    if not found:
        what = "holds no list of URLs" if kind == "a folder" else "is of no format that is known"
        raise ValueError(f"{where}: {what}; give a file that ends in .{', .'.join(FORMATS[:5])} (or .gz)")
    return next(iter(found))


def _look(file: Path, kind: str, where: str) -> tuple[int, pyarrow.Schema]:
    """How many rows a file has, and of which columns."""
    try:
        with damage_told(f"{where}: is no {kind.removesuffix('.gz')} that can be read"):
            return _rows_of_parquet(file) if kind == "parquet" else _rows_of_text(file, kind)
    except ImportError as error:
        raise ValueError(f"{where}: pyarrow, which reads lists, is missing; pip install 'ldmlab[laion]'") from error


def _rows_of_parquet(file: Path) -> tuple[int, pyarrow.Schema]:
    from pyarrow import parquet

    with open_regular(file) as opened, parquet.ParquetFile(opened) as table:
        return table.metadata.num_rows, table.schema_arrow


def _rows_of_text(file: Path, kind: str) -> tuple[int, pyarrow.Schema]:
    """Read as img2dataset reads it; of each column, the type is that of its first values."""
    import pyarrow
    from pyarrow import csv, json

    if kind.startswith("jsonl"):
        with _opened(file) as opened, json.open_json(opened) as batches:
            schema = batches.schema
        with _opened(file) as opened:
            return sum(1 for line in opened if line.strip()), schema
    settings: dict[str, Any] = {"parse_options": csv.ParseOptions(delimiter="\t" if kind.startswith("tsv") else ",")}
    if kind.startswith("txt"):
        settings["read_options"] = csv.ReadOptions(column_names=[LINK])
    with _opened(file) as opened, csv.open_csv(opened, **settings) as batches:
        schema = batches.schema
    texts = csv.ConvertOptions(column_types=dict.fromkeys(schema.names, pyarrow.string()), check_utf8=False)
    with _opened(file) as opened, csv.open_csv(opened, convert_options=texts, **settings) as batches:
        return sum(batch.num_rows for batch in batches), schema


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    with open_regular(file) as opened:
        if file.name.lower().endswith(".gz"):
            with gzip.open(opened) as unpacked:
                yield unpacked
        else:
            yield opened
