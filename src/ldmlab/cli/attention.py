"""`ldmlab attention`: where pictures attend to the words of their prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from ldmlab.atomic import atomic_file
from ldmlab.cli.computing import pick_precision, ready_to_draw
from ldmlab.cli.records import drawing_record
from ldmlab.editing.maps.map_groups import grouping, word_sites
from ldmlab.editing.maps.word_maps import MapColumns, WordMaps, sample_with_maps
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.heatmaps import heat_sheet, map_size
from ldmlab.pictures.png import write_png
from ldmlab.pictures.series import picture_record
from ldmlab.progress import passes
from ldmlab.samplers.noise import picture_seeds
from ldmlab.tensor_file import write_tensors

ON_SHEET = 16
"""Most pictures on the sheet of all."""


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, and write them, their heat maps, and the maps themselves where asked."""
    precision = pick_precision(cfg)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    model = loaded.model
    known = word_sites(model.denoiser.backbone, f"ckpt={loaded.path}")
    columns = MapColumns.of(model.conditioner.words(cfg.prompt), _list(cfg.words))
    if not columns.titles:
        raise ValueError(f"prompt={cfg.prompt}: holds no word; give a prompt with some")
    model.to(precision.device)
    drawing = ready_to_draw(cfg, model, picture_seeds(cfg.seed, cfg.n))
    group = grouping(cfg.by, drawing.sampler.steps, cfg.step_bins, _list(cfg.sites), known)
    files = _Files(cfg, drawing_record(cfg, loaded, precision))
    at_once = drawing.rows(model)
    with passes(model.denoiser.backbone, "drawing"):
        for first in range(0, cfg.n, at_once):
            own = drawing.of(drawing.seeds[first : first + at_once])
            count = len(own.seeds)
            batch = model.conditioner.batch([cfg.prompt] * count)
            files.write(first, *sample_with_maps(model, own, batch, [columns] * count, group, cfg.half_maps))
    files.finish()


def _list(values: ListConfig | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]


class _Files:
    """What is written of pictures as they are drawn, and what is kept of them until all are."""

    def __init__(self, cfg: DictConfig, drawing: Mapping[str, Any]) -> None:
        self.cfg = cfg
        self.folder = Path(cfg.output_dir)
        self.drawing = drawing
        self.sites: set[str] = set()
        self.peak = 0
        self.words: tuple[str, ...] = ()
        self._shown: list[tuple[Tensor, Tensor]] = []
        self._maps: list[dict[str, Tensor]] = []

    def write(self, first: int, pictures: Tensor, maps: WordMaps) -> None:
        """Write pictures and their own sheets; keep maps as far as they go to a file or sheet of all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sites |= maps.sites
        self.peak = max(self.peak, maps.peak)
        self.words = maps.titles[0]
        for index, picture in enumerate(pictures, first):
            settings = picture_record(self.drawing, self.cfg.prompt, index)
            write_png(self.folder / f"{index:05d}.png", to_pil(picture), settings)
        size = map_size(*pictures.shape[-2:])
        if self.cfg.by is not None:
            self._write_groups(first, pictures, maps, size)
        if first < ON_SHEET:
            self._shown.append((pictures, maps.at(size)))
        if self.cfg.save_maps:
            self._maps.append(maps.raw())

    def finish(self) -> None:
        """Write the sheet and the file of all, and say so."""
        pictures, maps = (torch.cat(parts)[:ON_SHEET] for parts in zip(*self._shown, strict=True))
        titles = [f"seed {self.cfg.seed}, picture {index}: {self.cfg.prompt}" for index in range(len(pictures))]
        sheet = heat_sheet(pictures, maps, [self.words] * len(pictures), titles, self.cfg.scale)
        write_png(self.folder / "heatmaps.png", sheet, {"prompt": self.cfg.prompt, **self.drawing})
        if self.cfg.save_maps:
            told = {"prompt": self.cfg.prompt, "words": json.dumps(self.words), "sites": json.dumps(sorted(self.sites))}
            whole = {name: torch.cat([maps[name] for maps in self._maps]).contiguous() for name in self._maps[0]}
            with atomic_file(self.folder / "maps.safetensors") as file:
                write_tensors(file, whole, told)
        print(f"maps of {len(self.sites)} attention sites read, {self.peak / 2**10:.1f} KiB of maps kept at most")
        note = f" (the first {ON_SHEET} of {self.cfg.n} pictures)" if self.cfg.n > ON_SHEET else ""
        print(f"heat maps: {self.folder / 'heatmaps.png'}{note}")

    def _write_groups(self, first: int, pictures: Tensor, maps: WordMaps, size: tuple[int, int]) -> None:
        """A sheet for each picture, with a row for each group of steps or sites."""
        names = maps.groups
        parts = torch.stack([maps.at(size, name) for name in names], dim=1)
        for index, (picture, rows) in enumerate(zip(pictures, parts, strict=True), first):
            repeated = picture.expand(len(names), -1, -1, -1)
            sheet = heat_sheet(repeated, rows, [self.words] * len(names), names, self.cfg.scale)
            settings = picture_record(self.drawing, self.cfg.prompt, index)
            write_png(self.folder / f"{index:05d}_by_{self.cfg.by}.png", sheet, settings)
