"""Captioned images out of an index, by number."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ldmlab.data.decode import decode_image
from ldmlab.data.index import ShardIndex
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shard_files import ShardFiles

log = logging.getLogger(__name__)
MAX_REPLACEMENTS = 32


class ImageSample(TypedDict):
    """One sample: image (3, H, W) in [-1, 1], its caption, key and json."""

    image: Tensor
    caption: str
    key: str
    meta: dict[str, Any]


class ImageBatch(TypedDict):
    """Images (B, 3, H, W) in [-1, 1], with B captions, keys and json dicts, and B labels where there are any."""

    images: Tensor
    captions: list[str]
    keys: list[str]
    meta: list[dict[str, Any]]
    labels: NotRequired[list[int]]


class ShardDataset(Dataset[ImageSample]):
    """Map-style dataset over the usable samples of a folder of tars.

    An image whose pixels cannot be decoded is replaced by another sample (image, caption and all) that depends on
    its number alone, so that batches stay full and the order stays the same; its key is logged once and counted over
    all worker processes.

    Args:
        index: the offset table.
        image_size: side of the square images in pixels; others are scaled and cropped in the centre.
    """

    def __init__(self, index: ShardIndex, image_size: int) -> None:
        if image_size < 1:
            raise ValueError(f"image_size={image_size} must be at least 1: change it")
        self.index = index
        self.image_size = image_size
        self.files = ShardFiles(index.root, index.shards)
        self._corrupt = torch.zeros(len(index), dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> ImageSample:
        """Return sample `row`, or its replacement. ValueError where replacement after replacement is corrupt too."""
        for attempt in range(MAX_REPLACEMENTS):
            candidate = row if attempt == 0 else _another(row, attempt, len(self))
            pixels = self._pixels(candidate)
            if pixels is not None:
                return ImageSample(
                    image=to_signed(pixels),
                    caption=self.index.captions[candidate],
                    key=self.index.keys[candidate],
                    meta=self.index.meta(candidate, self.files),
                )
        raise ValueError(
            f"{MAX_REPLACEMENTS} images in a row in {self.index.root} cannot be decoded: write the shards again"
        )

    @property
    def corrupt(self) -> list[Problem]:
        """The samples found corrupt so far, by this process or its workers."""
        return [self._problem(row) for row in self._corrupt.nonzero().flatten().tolist()]

    def _problem(self, row: int) -> Problem:
        entry = self.index[row]
        return Problem(Defect.UNDECODABLE_IMAGE, self.index.shards[entry.shard], entry.key)

    def _pixels(self, row: int) -> NDArray[np.uint8] | None:
        """Return the pixels (H, W, 3), or None where they are corrupt."""
        if self._corrupt[row]:
            return None
        entry = self.index[row]
        payload = self.files.read(entry.shard, entry.image.offset, entry.image.size)
        try:
            return decode_image(payload, self.image_size)
        except Exception as error:  # a codec raises whatever it likes on damaged bytes
            self._corrupt[row] = True
            log.warning("%s in %s: skipped (%s)", self._problem(row), self.index.root, error)
            return None


def to_signed(pixels: NDArray[np.uint8]) -> Float[Tensor, "3 H W"]:
    """Turn uint8 pixels (H, W, 3) into floats in [-1, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(127.5).sub_(1)


def collate(samples: Sequence[ImageSample]) -> ImageBatch:
    """Stack samples to a batch."""
    batch = ImageBatch(
        images=torch.stack([sample["image"] for sample in samples]),
        captions=[sample["caption"] for sample in samples],
        keys=[sample["key"] for sample in samples],
        meta=[sample["meta"] for sample in samples],
    )
    labels = labels_of(batch["meta"])
    if labels is not None:
        batch["labels"] = labels
    return batch


def labels_of(meta: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """The class numbers that the samples' json holds as `label`; None where one has none."""
    labels = [label for each in meta if isinstance(label := each.get("label"), int)]
    return labels if len(labels) == len(meta) else None


def _another(row: int, attempt: int, size: int) -> int:
    """Return a number in [0, size) that depends on the arguments alone."""
    digest = blake2b(f"{row}/{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % size
