"""What a dataset writer reads: samples that are a pure function of (configuration, split, index)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

SPLITS = ("train", "heldout")


@dataclass(frozen=True)
class Sample:
    """One captioned picture; `meta` is plain JSON and goes into the sample's json beside the standard columns."""

    image: Image.Image
    caption: str
    meta: dict[str, Any] = field(default_factory=dict)


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
        """Return a sample; the same arguments give the same pixels and words."""


def check_split(split: str) -> None:
    """Raise ValueError unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"split='{split}' does not exist; use one of {', '.join(SPLITS)}")
