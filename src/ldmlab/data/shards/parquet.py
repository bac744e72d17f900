"""What img2dataset's parquet beside a shard says that the shard holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ldmlab.data.problems import Defect, Problem
from ldmlab.files import open_regular

COLUMNS = ("key", "status")
SUCCESS = "success"
MOST_ROWS = 2**20


def parquet_path(shard: Path) -> Path:
    """The file in which img2dataset lists all samples of a shard, with what became of each."""
    return shard.with_suffix(".parquet")


def can_read_parquet() -> bool:
    """Whether pyarrow is there (`pip install 'ldmlab[laion]'`)."""
    return find_spec("pyarrow") is not None


def compare_with_parquet(shard: Path, keys: Collection[str]) -> list[Problem]:
    """Name the samples that the parquet calls a success and the shard lacks, or the other way round.

    Args:
        shard: a tar; without a parquet beside it there is nothing to compare.
        keys: of its samples with a picture.
    """
    path = parquet_path(shard)
    if not path.is_file():
        return []
    try:
        promised = set(_successes(path))
    except Exception as error:  # pyarrow raises many kinds on damaged files
        return [Problem(Defect.OTHER_PARQUET, shard.name, detail=f"{path.name}: {error}"[:200])]
    own = {key.rpartition("/")[2] for key in keys}
    lacking = [Problem(Defect.MISSING_SAMPLE, shard.name, key, path.name) for key in sorted(promised - own)]
    beyond = len(own - promised)
    if beyond:
        detail = f"{path.name}: {len(promised)} of its rows are a success, the shard has {beyond} pictures more"
        lacking.append(Problem(Defect.OTHER_PARQUET, shard.name, detail=detail))
    return lacking


def _successes(path: Path) -> Iterator[str]:
    """The keys of the rows that are a success. ValueError where the file has no such columns, or too many rows."""
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        table: Any = pq.ParquetFile(file)
        missing = [name for name in COLUMNS if name not in table.schema_arrow.names]
        if missing or table.metadata.num_rows > MOST_ROWS:
            raise ValueError(f"has no column '{missing[0]}'" if missing else "has more rows than a shard")
        for part in table.iter_batches(columns=list(COLUMNS)):
            for row in part.to_pylist():
                if row["status"] == SUCCESS:
                    yield str(row["key"])
