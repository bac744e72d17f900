"""What `Model.attention` gives: pictures, and where they attend to each word of their prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ldmlab.editing.maps.word_maps import WordMaps
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.gallery import Pictures, png_bytes
from ldmlab.pictures.heatmaps import map_size
from ldmlab.pictures.png import with_settings
from ldmlab.pictures.series import picture_record
from ldmlab.studio.attention import ON_SHEET, MapFiles, MapRequest, word_sheet


@dataclass(frozen=True, repr=False)
class AttentionMaps:
    """Pictures of N seeds and the share of attention that each of their places pays to each of K words.

    In a notebook it shows itself as a sheet: a row for each picture, a column for each word.
    """

    _images: UInt8[Tensor, "N 3 H W"]
    _maps: WordMaps
    _request: MapRequest
    _drawing: Mapping[str, Any]

    @property
    def pictures(self) -> Pictures:
        """The pictures that the maps are of, which are those of `Model.sample` to the last bit."""
        records = (picture_record(self._drawing, self._request.prompt, index) for index in range(len(self._images)))
        return Pictures(with_settings(to_pil(image), each) for image, each in zip(self._images, records, strict=True))

    @property
    def words(self) -> list[str]:
        """The K words or phrases, in the order of the maps."""
        return list(self._maps.titles[0])

    @property
    def groups(self) -> list[str]:
        """The ranges of steps, or the sites, that have maps of their own; `["all"]` where none were asked for."""
        return self._maps.groups

    def numpy(self, group: str | None = None) -> Float[np.ndarray, "N K H W"]:
        """The maps at the size of the pictures: shares of attention, averaged over heads, sites and steps.

        What words leave to 1 goes to the marks of begin and end and the padding, and to the picture where it is in the
        same softmax.

        Args:
            group: one of `groups`; None for the mean over all.

        Raises:
            ValueError: there is no such group.
        """
        if group not in (None, *self.groups):
            raise ValueError(f"group={group}: there is no such group; choose one of {', '.join(self.groups)}")
        return self._maps.at((self._images.shape[-2], self._images.shape[-1]), group).numpy()

    def sheet(self) -> Image.Image:
        """The pictures beside the maps of their words, each as bright as its own largest share."""
        shown = self._images[:ON_SHEET]
        maps = self._maps.at(map_size(*shown.shape[-2:]))[: len(shown)]
        return word_sheet(shown, maps, self.words, self._request.prompt, self._drawing["seed"])

    def save(self, folder: str | Path) -> Path:
        """Write the files of `ldmlab attention save_maps=true`: pictures, `heatmaps.png` and `maps.safetensors`.

        Args:
            folder: made where it is missing; files of these names in it are replaced.
        """
        files = MapFiles(Path(folder), self._request, self._drawing, save_maps=True)
        files.write(0, self._images, self._maps)
        files.finish(tell=lambda line: None)
        return Path(folder)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return png_bytes(self.sheet())

    def __repr__(self) -> str:
        return f"<attention of {len(self._images)} pictures to the words {', '.join(self.words)}>"
