"""Attention to words in a folder: pictures, their heat maps, and the maps themselves where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ldmlab.atomic import atomic_file
from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.maps.map_groups import By, grouping, word_sites
from ldmlab.editing.maps.word_maps import MapColumns, WordMaps, sample_with_maps
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.heatmaps import Scale, heat_sheet, map_size
from ldmlab.pictures.png import write_png
from ldmlab.pictures.series import picture_record
from ldmlab.progress import passes
from ldmlab.tensor_file import write_tensors

ON_SHEET = 16
"""Most pictures on the sheet of all."""


@dataclass(frozen=True)
class MapRequest:
    """What maps are wanted of which prompt.

    Attributes:
        prompt: of the pictures.
        words: words or phrases of it; None for every word.
        by: what is averaged apart: ranges of steps, sites, or neither.
        step_bins: ranges of steps, as even as can be.
        sites: the attention sites to read, by name; None for all that attend to words.
        half: whether maps are kept in float16.
    """

    prompt: str
    words: Sequence[str] | None = None
    by: By | None = None
    step_bins: int = 4
    sites: Sequence[str] | None = None
    half: bool = False

    def columns(self, model: LatentDiffusion, called: str = "ckpt") -> MapColumns:
        """The words, and which tokens belong to them.

        Args:
            model: that reads the prompt.
            called: the model, in a message.

        Raises:
            ValueError: the model attends to no words, or the prompt holds none of those wanted.
        """
        word_sites(model.denoiser.backbone, called)
        columns = MapColumns.of(model.conditioner.words(self.prompt), self.words)
        if not columns.titles:
            raise ValueError(f"prompt={self.prompt}: holds no word; give a prompt with some")
        return columns


def draw_with_maps(
    model: LatentDiffusion, drawing: Drawing, request: MapRequest
) -> Iterator[tuple[int, UInt8[Tensor, "B 3 H W"], WordMaps]]:
    """The pictures of `draw_prompts`, to the last bit, with their maps, some at a time.

    Yields:
        The number of the first picture, the pictures, and the maps of their words.

    Raises:
        ValueError: see `MapRequest.columns` and `grouping`.
    """
    columns = request.columns(model)
    known = word_sites(model.denoiser.backbone, "ckpt")
    group = grouping(request.by, drawing.sampler.steps, request.step_bins, request.sites, known)
    at_once = drawing.rows(model)
    with passes(model.denoiser.backbone, "drawing"):
        for first in range(0, len(drawing.seeds), at_once):
            own = drawing.of(drawing.seeds[first : first + at_once])
            count = len(own.seeds)
            batch = model.conditioner.batch([request.prompt] * count)
            yield first, *sample_with_maps(model, own, batch, [columns] * count, group, request.half)


def word_sheet(
    pictures: UInt8[Tensor, "N 3 h w"],
    maps: Float[Tensor, "N K H W"],
    words: Sequence[str],
    prompt: str,
    seed: int,
    scale: Scale = "word",
) -> Image.Image:
    """The heat maps of pictures of one prompt, a row for each; see `heat_sheet`."""
    titles = [f"seed {seed}, picture {index}: {prompt}" for index in range(len(pictures))]
    return heat_sheet(pictures, maps, [words] * len(pictures), titles, scale)


@dataclass
class MapFiles:
    """What is written of pictures as they are drawn, and what is kept of them until all are.

    Attributes:
        folder: where files go; made where it is missing.
        request: what maps these are.
        drawing: see `drawing_record`.
        scale: see `heat_sheet`.
        save_maps: whether `maps.safetensors` is written.
    """

    folder: Path
    request: MapRequest
    drawing: Mapping[str, Any]
    scale: Scale = "word"
    save_maps: bool = False
    sites: set[str] = field(default_factory=set, init=False)
    peak: int = field(default=0, init=False)
    words: tuple[str, ...] = field(default=(), init=False)
    _count: int = field(default=0, init=False)
    _shown: list[tuple[Tensor, Tensor]] = field(default_factory=list, init=False)
    _maps: list[dict[str, Tensor]] = field(default_factory=list, init=False)

    def write(self, first: int, pictures: UInt8[Tensor, "B 3 H W"], maps: WordMaps) -> None:
        """Write pictures and their own sheets; keep maps as far as they go to a file or sheet of all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sites |= maps.sites
        self.peak = max(self.peak, maps.peak)
        self.words = maps.titles[0]
        self._count = first + len(pictures)
        for index, picture in enumerate(pictures, first):
            write_png(self.folder / f"{index:05d}.png", to_pil(picture), self._settings(index))
        size = map_size(*pictures.shape[-2:])
        if self.request.by is not None:
            self._write_groups(first, pictures, maps, size)
        if first < ON_SHEET:
            self._shown.append((pictures, maps.at(size)))
        if self.save_maps:
            self._maps.append(maps.raw())

    def finish(self, tell: Callable[[str], None] = print) -> None:
        """Write the sheet and the file of all, and say so."""
        pictures, maps = (torch.cat(parts)[:ON_SHEET] for parts in zip(*self._shown, strict=True))
        prompt = self.request.prompt
        sheet = word_sheet(pictures, maps, self.words, prompt, self.drawing["seed"], self.scale)
        write_png(self.folder / "heatmaps.png", sheet, {"prompt": prompt, **self.drawing})
        if self.save_maps:
            self._write_maps()
        tell(f"maps of {len(self.sites)} attention sites read, {self.peak / 2**10:.1f} KiB of maps kept at most")
        note = f" (the first {ON_SHEET} of {self._count} pictures)" if self._count > ON_SHEET else ""
        tell(f"heat maps: {self.folder / 'heatmaps.png'}{note}")

    def _settings(self, index: int) -> dict[str, Any]:
        return picture_record(self.drawing, self.request.prompt, index)

    def _write_maps(self) -> None:
        metadata = {"words": json.dumps(self.words), "sites": json.dumps(sorted(self.sites))}
        whole = {name: torch.cat([maps[name] for maps in self._maps]).contiguous() for name in self._maps[0]}
        with atomic_file(self.folder / "maps.safetensors") as file:
            write_tensors(file, whole, {"prompt": self.request.prompt, **metadata})

    def _write_groups(
        self, first: int, pictures: UInt8[Tensor, "B 3 H W"], maps: WordMaps, size: tuple[int, int]
    ) -> None:
        """A sheet for each picture, with a row for each group of steps or sites."""
        names = maps.groups
        parts = torch.stack([maps.at(size, name) for name in names], dim=1)
        for index, (picture, rows) in enumerate(zip(pictures, parts, strict=True), first):
            repeated = picture.expand(len(names), -1, -1, -1)
            sheet = heat_sheet(repeated, rows, [self.words] * len(names), names, self.scale)
            write_png(self.folder / f"{index:05d}_by_{self.request.by}.png", sheet, self._settings(index))
