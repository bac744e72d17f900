"""Captioned images out of an index, by number."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ldmlab.data.decoding.decode import decode_image
from ldmlab.data.decoding.decoders import Decoder, decoder_of
from ldmlab.data.index.entry import Entry
from ldmlab.data.index.json_keys import columns_of
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.order.views import View, as_view
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shared_rows import SharedRows

log = logging.getLogger(__name__)
MAX_REPLACEMENTS = 32
DEFECTS = (Defect.UNDECODABLE_IMAGE, Defect.CHANGED_IMAGE)


class Described(TypedDict):
    """What is known of a sample beside its image: caption ("" for none), label, key, and row in the index.

    `columns` is what is needed of the json by name; "meta" all of it, where that is needed.

    A key is unique within a shard; the row says which sample it is.
    """

    caption: str
    label: int | None
    key: str
    row: int
    columns: dict[str, Any]


class ImageSample(Described):
    """One sample, whose image (3, H, W) is in [-1, 1], or bytes."""

    image: Tensor


class ConditionColumns(TypedDict):
    """B captions and B labels, where all samples of a batch have one; and what is needed of the json, by its keys."""

    captions: NotRequired[list[str]]
    labels: NotRequired[list[int]]


class ImageBatch(ConditionColumns):
    """Images (B, 3, H, W) in [-1, 1], or their bytes, with the keys and rows of B samples."""

    images: Tensor
    keys: list[str]
    rows: list[int]


class ShardDataset(Dataset[ImageSample]):
    """Map-style dataset over the usable samples of a folder of tars, by row or by view.

    An image whose pixels cannot be decoded is replaced by another sample (image, caption and all) that depends on
    its number alone, so that batches stay full and the order stays the same; its key is logged once and counted over
    all worker processes.

    Args:
        index: the offset table.
        image_size: side of the square images in pixels; others are scaled and cropped in the centre.
        decoder: of the images; the quickest if not given.
    """

    def __init__(self, index: ShardIndex, image_size: int, decoder: Decoder | None = None) -> None:
        if image_size < 1:
            raise ValueError(f"image_size={image_size} must be at least 1: change it")
        self.index = index
        self.image_size = image_size
        self.decoder = decoder or decoder_of()
        self.files = index.files()
        self._corrupt = SharedRows()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, sample: int | View) -> ImageSample:
        """Return a sample, or its replacement. ValueError where replacement after replacement is corrupt too."""
        found = self._bytes(as_view(sample))
        found["image"] = signed(found["image"])
        return found

    def __getitems__(self, samples: Sequence[int | View]) -> list[ImageSample]:
        """Return samples with images of bytes, as a DataLoader asks for them.

        That is a quarter of the memory on the way to the device, where `signed` makes floats of them.
        """
        return [self._bytes(as_view(sample)) for sample in samples]

    def _bytes(self, view: View) -> ImageSample:
        for attempt in range(MAX_REPLACEMENTS):
            candidate = view.row if attempt == 0 else _another(view.row, attempt, len(self))
            entry = self.index[candidate]
            pixels = self._pixels(view._replace(row=candidate), entry)
            if pixels is not None:
                return ImageSample(image=torch.from_numpy(pixels).permute(2, 0, 1), **self._described(candidate, entry))
        raise ValueError(
            f"{MAX_REPLACEMENTS} images in a row in {self.index.root} cannot be decoded: write the shards again"
        )

    def described(self, sample: int) -> Described:
        """What is known of a sample beside its image; nothing is read of the image."""
        return self._described(sample, self.index[sample])

    def _described(self, row: int, entry: Entry) -> Described:
        columns = columns_of(self.index, row, self.files)
        return Described(caption=entry.caption, label=entry.label, key=entry.key, row=row, columns=columns)

    def meta(self, row: int) -> dict[str, Any]:
        """Return the json of a sample, {} where it has none."""
        return self.index.meta(row, self.files)

    @property
    def fingerprint(self) -> str:
        """Which samples these are, in which order."""
        return self.index.fingerprint

    @property
    def corrupt(self) -> list[Problem]:
        """The samples found corrupt so far, by this process or its workers."""
        return [self.index.problem(row, DEFECTS[kind]) for row, kind in self._corrupt]

    def _pixels(self, view: View, entry: Entry) -> NDArray[np.uint8] | None:
        """Return the pixels (H, W, 3), or None where they are corrupt."""
        if view.row in self._corrupt:
            return None
        payload = self.files.read(entry.shard, entry.image.offset, entry.image.size)
        checksum = self.index.checksum(view.row)
        if checksum is not None and zlib.crc32(payload) != checksum:
            self._lose(view.row, Defect.CHANGED_IMAGE, "its bytes are not those that were indexed")
            return None
        try:
            pixels = decode_image(payload, view.size or self.image_size, view.down, view.across, self.decoder)
        except Exception as error:  # a codec raises whatever it likes on damaged bytes
            self._lose(view.row, Defect.UNDECODABLE_IMAGE, error)
            return None
        return pixels[:, ::-1].copy(order="K") if view.mirrored else pixels

    def _lose(self, row: int, defect: Defect, why: object) -> None:
        self._corrupt.add(row, DEFECTS.index(defect))
        log.warning("%s in %s: skipped (%s)", self.index.problem(row, defect), self.index.root, why)


def to_signed(pixels: NDArray[np.uint8]) -> Float[Tensor, "3 H W"]:
    """Turn uint8 pixels (H, W, 3) into floats in [-1, 1]."""
    return signed(torch.from_numpy(pixels).permute(2, 0, 1))


def signed(images: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Turn bytes into floats in [-1, 1], on their device; to the bit the same on any.

    For a plain number, CUDA would multiply by its reciprocal, which is off in the last bit for every other byte.
    """
    return images.float().div_(torch.full((), 127.5, device=images.device)).sub_(1)


def collate(samples: Sequence[ImageSample]) -> ImageBatch:
    """Stack samples to a batch; images that are bytes stay so."""
    batch = ImageBatch(
        images=default_collate([sample["image"] for sample in samples]),  # in a worker, into the memory that it shares
        keys=[sample["key"] for sample in samples],
        rows=[sample["row"] for sample in samples],
    )
    return {**batch, **conditions_of(samples)}


def conditions_of(samples: Sequence[Described]) -> ConditionColumns:
    """What is known of all of some samples, or of their descriptions, by the names that batches have for it."""
    columns = ConditionColumns()
    captions, labels = [sample["caption"] for sample in samples], [sample["label"] for sample in samples]
    add_conditions(columns, captions, labels, [sample["columns"] for sample in samples])
    return columns


def add_conditions(
    batch: ConditionColumns, captions: list[str], labels: list[int | None], columns: Sequence[Mapping[str, Any]]
) -> None:
    """Give a batch its captions, and its labels, if every sample has one, and the columns that all of them have."""
    if all(captions):
        batch["captions"] = captions
    if None not in labels:
        batch["labels"] = [label for label in labels if label is not None]
    for key in columns[0]:
        batch[key] = [each[key] for each in columns]  # type: ignore[literal-required]  # named by what reads it


def _another(row: int, attempt: int, size: int) -> int:
    """Return a number in [0, size) that depends on the arguments alone."""
    digest = blake2b(f"{row}/{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % size
