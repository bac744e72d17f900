"""Datasets as `datasets` leaves them on a disk, written by pyarrow alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

NAMES = ["cat", "dog", "owl"]


@pytest.fixture
def table(png: Callable[..., bytes]) -> Callable[..., Any]:
    """(numbers, **columns in place of these) -> a table with pictures that tell their numbers."""
    pa = pytest.importorskip("pyarrow")
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def make(numbers: Sequence[int], **others: Any) -> Any:
        columns = {
            "image": pa.array([{"bytes": png(number), "path": None} for number in numbers], picture),
            "caption": [f"number {number}" for number in numbers],
            "label": pa.array([number % 3 for number in numbers], pa.int64()),
            "score": [number / 4 for number in numbers],
            "width": list(numbers),
            **others,
        }
        made = pa.table({name: values for name, values in columns.items() if values is not None})
        kinds = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}}
        features = {name: kind for name, kind in kinds.items() if name in made.schema.names}
        return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})

    return make


@pytest.fixture
def save() -> Callable[..., Path]:
    """(folder, tables) -> the folder, with a stream of Arrow for each, as `Dataset.save_to_disk` leaves it."""
    pa = pytest.importorskip("pyarrow")

    def write(folder: Path, *tables: Any, batch: int = 3) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"data-{number:05d}-of-{len(tables):05d}.arrow" for number in range(len(tables))]
        for name, table in zip(names, tables, strict=True):
            with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table, max_chunksize=batch)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
        return folder

    return write
