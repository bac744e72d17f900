"""What a dataset writer reads: samples that are a pure function of (configuration, split, index)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from ldmlab.data.problems import Defect

SPLITS = ("train", "heldout")


class UnusableError(ValueError):
    """A sample that cannot be made; it is left out and named.

    Args:
        defect: what is wrong with it.
        name: what the user knows it by.
        detail: what else there is to say.
    """

    def __init__(self, defect: Defect, name: str, detail: str = "") -> None:
        super().__init__(defect, name, detail)
        self.defect, self.name, self.detail = defect, name, detail

    def __str__(self) -> str:
        return f"{self.name}: {self.defect}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Encoded:
    """A picture's file: "jpg", "png" or "webp", and its bytes."""

    extension: str
    payload: bytes


@dataclass(frozen=True)
class Sample:
    """One picture.

    Attributes:
        image: upright, RGB.
        caption: "" for none.
        meta: plain JSON, which goes into the sample's json beside the standard columns.
        label: of its class, which goes into KEY.cls; None for none there.
        encoded: the file to store; `image` in the source's format where there is none.
    """

    image: Image.Image
    caption: str
    meta: dict[str, Any] = field(default_factory=dict)
    label: int | None = None
    encoded: Encoded | None = None


class SampleSource(Protocol):
    """A dataset that can be asked for any sample in any order by any process; it must pickle."""

    @property
    def name(self) -> str:
        """Short name of the dataset."""

    @property
    def image_format(self) -> str:
        """One of "png", "jpg", "webp"."""

    @property
    def licence(self) -> str:
        """Licence of pictures and captions, as an SPDX identifier."""

    @property
    def attribution(self) -> str:
        """Whom the licence asks to name."""

    def config(self) -> dict[str, Any]:
        """Return everything that decides the samples, as plain JSON."""

    def count(self, split: str) -> int:
        """Return the number of samples of a split ("train" or "heldout")."""

    def sample(self, split: str, index: int) -> Sample:
        """Return a sample; the same arguments give the same pixels and words.

        Raises:
            UnusableError: there is none.
        """


@runtime_checkable
class Fetched(Protocol):
    """A dataset whose shards another program brings."""

    def fetch(self, root: Path, shard_size: int, workers: int, progress: Any) -> object:
        """Bring what is not there yet into a folder; what is returned tells of it, as text.

        Args:
            root: folder of the dataset.
            shard_size: samples a shard.
            workers: processes.
            progress: as of `write_shards`.
        """


def check_split(split: str) -> None:
    """Raise ValueError unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split='{split}' does not exist; use one of {', '.join(SPLITS)}")
