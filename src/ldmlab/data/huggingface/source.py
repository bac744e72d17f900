"""A local dataset of Hugging Face as a source of samples, in its own order, read where it lies."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.huggingface.fields import AUTO, Fields, find_fields
from ldmlab.data.huggingface.layout import HELDOUT, TRAIN, find_splits
from ldmlab.data.index.sample_table import MOST_IMAGE_BYTES
from ldmlab.data.problems import Defect
from ldmlab.data.sample_source import SPLITS, Sample, UnusableError, check_split
from ldmlab.data.writing.claim import digest_of_file
from ldmlab.data.writing.pictures import check_heldout, check_image_size, sample_of

if TYPE_CHECKING:
    from ldmlab.data.huggingface.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalDataset:
    """Pictures of a dataset in Arrow or Parquet: one that `datasets` saved, or files of either kind.

    Nothing is fetched, and no code of a dataset is run.

    Args:
        path: of its folder, or of one file.
        image_column: of pictures; see `find_fields` for this and the next two.
        caption_column: of captions; of several captions of a picture the first counts.
        label_column: of classes, whose names go into `dataset.json`.
        train_split: name of the split to train on; "auto" for "train", or the only one.
        heldout_split: of held-out pictures; "auto" for "validation", "test" and the like, "none" for a share.
        heldout: share of the split to train on that is held out where no split is.
        image_size: pixels of the shorter side that larger pictures are made smaller to; None stores the files as they
            are.
        image_format: of pictures that were made smaller: "jpg", "png" or "webp".
    """

    path: str
    image_column: str = AUTO
    caption_column: str = AUTO
    label_column: str = AUTO
    train_split: str = AUTO
    heldout_split: str = AUTO
    heldout: float = 0.05
    image_size: int | None = None
    image_format: str = "jpg"

    name = "huggingface"
    licence = "NOASSERTION"
    attribution = ""

    def __post_init__(self) -> None:
        check_heldout(self.heldout)
        check_image_size(self.image_size)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_tables"}  # open files stay here

    def config(self) -> dict[str, Any]:
        """Return everything that decides the samples; of the files, a digest each."""
        settings = {name: value for name, value in asdict(self).items() if name != "path"}
        files = {split: [digest_of_file(file) for file in files] for split, files in self._files.items()}
        columns = asdict(self._fields)
        return {**settings, "classes": list(columns.pop("classes")), "columns": columns, "files": files}

    def count(self, split: str) -> int:
        """Return the number of rows of a split."""
        check_split(split)
        return len(self._rows[split])

    def sample(self, split: str, index: int) -> Sample:
        """Read a row; `meta` has its numbers and texts.

        Raises:
            UnusableError: it has no picture that can be read.
        """
        check_split(split)
        source = split if split in self._files else "train"
        number = int(self._rows[split][index])
        name = f"row {number} of {source}"
        try:
            row = self._tables[source].row(number)
        except ValueError as error:
            raise UnusableError(Defect.UNDECODABLE_IMAGE, name, str(error)) from error
        fields = self._fields
        caption = row[fields.caption] if fields.caption is not None else None
        label = row[fields.label] if fields.label is not None else None
        meta = {key: _plain(row[key]) for key in fields.more}
        label = label if label is not None and label >= 0 else None
        return sample_of(_payload(row[fields.image], name), name, _words(caption), meta, label, self.image_size)

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """The files of the splits that are used, by our names for them."""
        found = find_splits(Path(self.path))
        train = _choose("train_split", self.train_split, TRAIN, found) or (next(iter(found)) if len(found) == 1 else "")
        if not train:
            raise ValueError(f"dataset.train_split: no split is named 'train'; choose one of {', '.join(found)}")
        others = {name: files for name, files in found.items() if name != train}
        heldout = _choose("heldout_split", self.heldout_split, HELDOUT, others)
        if left := [name for name in others if name != heldout]:
            log.info("splits that are left aside: %s", ", ".join(left))
        return {"train": found[train]} | ({"heldout": found[heldout]} if heldout else {})

    @cached_property
    def _fields(self) -> Fields:
        schemas = {split: _open(files).schema for split, files in self._files.items()}
        fields = find_fields(schemas["train"], self.image_column, self.caption_column, self.label_column)
        for split, schema in schemas.items():
            if lacking := {*fields.columns} - {*schema.names}:
                raise ValueError(f"dataset.path={self.path}: the {split} split lacks a column '{min(lacking)}'")
        _tell(fields)
        return fields

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {split: _open(files, self._fields.columns) for split, files in self._files.items()}

    @cached_property
    def _rows(self) -> dict[str, NDArray[np.int64]]:
        """The rows of each split. Which are held out does not change where rows are added at the end."""
        counts = {split: len(table) for split, table in self._tables.items()}
        if "heldout" in counts:
            return {split: np.arange(counts[split]) for split in SPLITS}
        is_held_out = np.random.Generator(np.random.Philox(key=0)).random(counts["train"]) < self.heldout
        if self.heldout and not is_held_out.any():
            log.warning("none of %d pictures is held out by dataset.heldout=%g", counts["train"], self.heldout)
        return {"train": np.flatnonzero(~is_held_out), "heldout": np.flatnonzero(is_held_out)}


def _tell(fields: Fields) -> None:
    """Say in the log what was found where."""
    found = {"pictures": fields.image, "captions": fields.caption, "classes": fields.label}
    log.info("%s", ", ".join(f"{what} from column '{name}'" for what, name in found.items() if name is not None))
    if fields.caption is None and fields.label is None:
        log.warning("there are no captions and no classes: dataset.caption_column= and label_column= name columns")


def _open(files: list[Path], columns: list[str] | None = None) -> Table:
    from ldmlab.data.huggingface.table import Table

    try:
        return Table(files, columns)
    except ImportError as error:
        raise ValueError(
            "dataset.path: pyarrow, which reads Arrow and Parquet, is missing; pip install 'ldmlab[huggingface]'"
        ) from error


def _choose(key: str, given: str, names: tuple[str, ...], found: dict[str, list[Path]]) -> str | None:
    if given == "none":
        return None
    if given != AUTO and given not in found:
        raise ValueError(f"dataset.{key}={given}: there is no such split, but {', '.join(found) or 'no other'}")
    return given if given != AUTO else next((name for name in names if name in found), None)


def _payload(value: Any, name: str) -> bytes:
    """The bytes of a picture's file. What a row says of a file elsewhere is not followed."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is None:
        elsewhere = isinstance(value, dict) and value.get("path")
        raise UnusableError(
            Defect.MISSING_IMAGE, name, "names a file instead of holding it: embed the pictures" if elsewhere else ""
        )
    if len(content) > MOST_IMAGE_BYTES:
        raise UnusableError(Defect.OVERSIZED_IMAGE, name, f"{len(content):,} bytes")
    return bytes(content)


def _words(caption: Any) -> str:
    """A caption on one line; the first of several; "" for none."""
    first = next(iter(caption), None) if isinstance(caption, list) else caption
    return " ".join(str(first).replace("\0", " ").split()) if first else ""


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
