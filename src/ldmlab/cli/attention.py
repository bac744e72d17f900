"""`ldmlab attention`: where pictures attend to the words of their prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig, ListConfig
from PIL import Image
from torch import Tensor

from ldmlab.cli.build import build_guidance, build_sampler, load_latent_diffusion, pick_device
from ldmlab.cli.progress import passes
from ldmlab.data.atomic import atomic_file
from ldmlab.editing.maps.map_groups import cross_sites, grouping
from ldmlab.editing.maps.word_maps import MapColumns, WordMaps, sample_with_maps
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.heatmaps import heat_sheet, map_size
from ldmlab.pictures.png import write_png
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.noise import picture_seeds
from ldmlab.tensor_file import write_tensors


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, and write them, their heat maps, and the maps themselves where asked."""
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    model = loaded.model
    assert isinstance(model, LatentDiffusion)
    known = cross_sites(model.denoiser.backbone, f"ckpt={loaded.path}")
    columns = MapColumns.of(model.conditioner.words(cfg.prompt), _list(cfg.words))
    if not columns.titles:
        raise ValueError(f"prompt={cfg.prompt}: holds no word; give a prompt with some")
    model.to(pick_device(cfg.device))
    sampler = build_sampler(cfg.sampler, model)
    group = grouping(cfg.by, sampler.steps, cfg.step_bins, _list(cfg.sites), known)
    with passes(model.denoiser.backbone, "drawing"):
        pictures, maps = sample_with_maps(
            model,
            model.conditioner.batch([cfg.prompt] * cfg.n),
            [columns] * cfg.n,
            picture_seeds(cfg.seed, cfg.n),
            sampler,
            build_guidance(cfg.guidance, model),
            group,
            cfg.half_maps,
            cfg.batch_size,
        )
    _write(cfg, pictures, maps)
    print(f"maps of {len(maps.sites)} attention sites read, {maps.peak / 2**10:.1f} KiB of maps kept at most")
    print(f"heat maps: {Path(cfg.output_dir) / 'heatmaps.png'}")


def _list(values: ListConfig | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]


def _write(cfg: DictConfig, pictures: Tensor, maps: WordMaps) -> None:
    folder = Path(cfg.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in _images(cfg, pictures, maps):
        write_png(folder / name, image)
    if cfg.save_maps:
        told = {"prompt": cfg.prompt, "words": json.dumps(maps.titles[0]), "sites": json.dumps(sorted(maps.sites))}
        with atomic_file(folder / "maps.safetensors") as file:
            write_tensors(file, {name: tensor.contiguous() for name, tensor in maps.raw().items()}, told)


def _images(cfg: DictConfig, pictures: Tensor, maps: WordMaps) -> Iterator[tuple[str, Image.Image]]:
    """The pictures, the sheet of all, and one for each picture where rows by step or site are asked for."""
    for index, picture in enumerate(pictures):
        yield f"{index:05d}.png", to_pil(picture)
    size = map_size(*pictures.shape[-2:])
    titles = [f"seed {cfg.seed}, picture {index}: {cfg.prompt}" for index in range(len(pictures))]
    yield "heatmaps.png", heat_sheet(pictures, maps.at(size), maps.titles, titles, cfg.scale)
    if cfg.by is not None:
        names = maps.groups
        parts = torch.stack([maps.at(size, name) for name in names], dim=1)
        for index, (picture, rows) in enumerate(zip(pictures, parts, strict=True)):
            repeated, words = picture.expand(len(names), -1, -1, -1), [maps.titles[index]] * len(names)
            yield f"{index:05d}_by_{cfg.by}.png", heat_sheet(repeated, rows, words, names, cfg.scale)
