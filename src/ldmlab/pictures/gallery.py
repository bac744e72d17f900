"""Pictures in memory: a list of PIL images that say how they were drawn, and that a notebook shows as a sheet."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from ldmlab.pictures.contact_sheet import contact_sheet, from_pil
from ldmlab.pictures.png import settings_of, write_png

ON_SHEET = 64
"""Most pictures on a sheet."""


class Pictures(list[Image.Image]):
    """A list of PIL pictures. Each keeps in its `info` what its PNG file would say: prompt, seed, model, settings.

    In a notebook it shows itself as a contact sheet. Slices and sums are `Pictures` again.
    """

    @property
    def prompts(self) -> list[str]:
        """What each picture was drawn from; "" where it does not say."""
        return [str(image.info.get("Description", "")) for image in self]

    @property
    def settings(self) -> list[dict[str, Any] | None]:
        """How each picture was drawn, as plain data; None where it does not say."""
        return [settings_of(image) for image in self]

    def numpy(self) -> UInt8[np.ndarray, "N H W 3"]:
        """All pictures as one array.

        Raises:
            ValueError: they are of different sizes, or there is none.
        """
        if len({image.size for image in self}) != 1:
            sizes = sorted({f"{image.height} x {image.width}" for image in self})
            raise ValueError(f"pictures: an array takes pictures of one size; these are {', '.join(sizes) or 'none'}")
        return np.stack([np.asarray(image.convert("RGB")) for image in self])

    def sheet(self, columns: int = 4) -> Image.Image:
        """The first pictures, each over its prompt, row by row.

        Args:
            columns: pictures in a row.

        Raises:
            ValueError: there is no picture, or no column.
        """
        if not self:
            raise ValueError("pictures: there is none to lay out")
        shown = self[:ON_SHEET]
        return contact_sheet(torch.stack([from_pil(image) for image in _of_one_size(shown)]), shown.prompts, columns)

    def save(self, folder: str | Path) -> Path:
        """Write `00000.png`, `00001.png`, ... with their settings, and `contact_sheet.png`; return the folder.

        Args:
            folder: made where it is missing; files of these names in it are replaced.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(self):
            write_png(folder / f"{index:05d}.png", image, settings_of(image))
        if self:
            write_png(folder / "contact_sheet.png", self.sheet())
        return folder

    def _repr_png_(self) -> bytes | None:
        """For notebooks."""
        return png_bytes(self.sheet()) if self else None

    def __repr__(self) -> str:
        shown = ", ".join(dict.fromkeys(f"'{prompt}'" for prompt in self.prompts[:4] if prompt))
        sizes = {f"{image.height} x {image.width}" for image in self}
        size = f" of {sizes.pop()} pixels" if len(sizes) == 1 else ""
        return f"<{len(self)} picture{'' if len(self) == 1 else 's'}{size}{': ' if shown else ''}{shown}>"

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Image.Image | Pictures:
        chosen = super().__getitem__(index)
        return Pictures(chosen) if isinstance(chosen, list) else chosen

    def __add__(self, other: Iterable[Image.Image]) -> Pictures:  # type: ignore[override]
        return Pictures([*self, *other])


def png_bytes(image: Image.Image) -> bytes:
    """A picture as a PNG file in memory."""
    file = BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _of_one_size(images: Pictures) -> Pictures:
    """In frames of one size, which is none where all are of one."""
    if len({image.size for image in images}) <= 1:
        return images
    height, width = max(image.height for image in images), max(image.width for image in images)
    framed = Pictures()
    for image in images:
        frame = Image.new("RGB", (width, height), "white")
        frame.paste(image.convert("RGB"))
        framed.append(frame)
    return framed
