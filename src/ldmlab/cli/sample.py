"""`ldmlab sample`: pictures from prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from PIL import Image
from torch import Tensor

from ldmlab.cli.computing import pick_precision, ready_to_draw
from ldmlab.cli.prompts import checked, picture_count, read_prompts
from ldmlab.cli.records import drawing_record
from ldmlab.cli.trained_on import require_shapes
from ldmlab.drawing.samples import sample
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.pictures.contact_sheet import contact_sheet, from_pil
from ldmlab.pictures.png import read_settings, write_png
from ldmlab.pictures.series import Series
from ldmlab.progress import progress
from ldmlab.samplers.noise import picture_seeds

STRIP_PICTURES = 8
ON_SHEET = 64
AT_ONCE = 64
"""Prompts that are looked at together before anything is drawn."""
PICTURES = 16
"""How many are drawn where no number is given, if there are no more prompts."""
DEFAULT_PROMPTS = (
    "a small red circle left of a big blue square",
    "a green star",
    "a big yellow triangle above a small purple circle",
    "a small orange square at the top on a black background",
)


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, dealt to the prompts in turn, each written when it is drawn; a contact sheet and a strip.

    A run that was ended goes on in its folder: pictures that are there, drawn as this run would, are not drawn again.
    """
    prompts, count = _wanted(cfg)
    precision = pick_precision(cfg)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    model = loaded.model
    if model.conditioner.concat_channels:
        raise ValueError(
            f"ckpt={cfg.ckpt}: this model draws from a picture; give it one: "
            "ldmlab edit method=image_to_image image=PATH"
        )
    if cfg.prompts is None:
        require_shapes(cfg.ckpt, loaded)
    for part in _chunks(prompts, AT_ONCE):  # a prompt is refused before anything is written
        model.conditioner(model.conditioner.batch(part))
    model.to(precision.device)
    series = Series(Path(cfg.output_dir), count, prompts, drawing_record(cfg, loaded, precision), cfg.negative_prompt)
    there = series.drawn()
    if there:
        print(f"{len(there)} of {count} pictures are there already")
    _draw(cfg, model, series, there)
    _write_sheet(series)


def _wanted(cfg: DictConfig) -> tuple[list[str], int]:
    """The prompts, and how many pictures."""
    if cfg.prompts is None:
        return list(DEFAULT_PROMPTS), cfg.n or PICTURES
    given = cfg.prompts
    prompts = checked(map(str, given) if isinstance(given, ListConfig) else read_prompts(given))
    return prompts, picture_count(cfg.n, prompts, PICTURES)


def _draw(cfg: DictConfig, model: LatentDiffusion, series: Series, there: set[int]) -> None:
    """Draw what is missing, a batch at a time."""
    drawing = ready_to_draw(cfg, model, picture_seeds(cfg.seed, series.count), series.count - len(there))
    steps = drawing.sampler.steps
    strip = _Strip(model, series, steps)
    missing = [index for index in range(series.count) if index not in there or (index == 0 and not strip.is_there)]
    at_once = drawing.rows(model)
    with progress("sampling", -(-len(missing) // at_once) * steps) as advance:
        for rows in _chunks(missing, at_once):

            def on_step(step: int, latents: Tensor, first: int = rows[0]) -> None:
                advance(1)
                if first == 0:
                    strip.see(step, latents)

            own = drawing.of([drawing.seeds[index] for index in rows])
            batch = model.conditioner.batch([series.prompt(index) for index in rows])
            images = sample(model, own, batch, on_step, _negative(cfg, model, len(rows)))
            if rows[0] == missing[0]:
                series.write_prompts()  # once it is known that this can be drawn at all
            for index, image in zip(rows, images, strict=True):
                series.write(index, image)


def _negative(cfg: DictConfig, model: LatentDiffusion, count: int) -> dict[str, Any] | None:
    """What guidance leads so many pictures away from, where the user says so."""
    return None if cfg.negative_prompt is None else model.conditioner.batch([cfg.negative_prompt] * count)


class _Strip:
    """The first picture on its way out of noise: a few steps, spread evenly and with the last."""

    def __init__(self, model: LatentDiffusion, series: Series, steps: int) -> None:
        self.model = model
        self.path = series.folder / "denoising_strip.png"
        self.settings = series.settings_of(0)
        count = min(STRIP_PICTURES, steps)
        self.steps = {round((index + 1) * steps / count) - 1 for index in range(count)}
        self.pictures: list[Tensor] = []

    @property
    def is_there(self) -> bool:
        """Whether an earlier start of this run wrote it."""
        return read_settings(self.path) == self.settings

    def see(self, step: int, latents: Tensor) -> None:
        """Take in a step of the first pictures, and write the strip after its last."""
        if step in self.steps:
            self.pictures.append(self.model.decode(latents[:1])[0].cpu())
            if len(self.pictures) == len(self.steps):
                sheet = contact_sheet(torch.stack(self.pictures), columns=len(self.pictures))
                write_png(self.path, sheet, self.settings)


def _write_sheet(series: Series) -> None:
    """Of the first pictures, as they were written."""
    shown = range(min(series.count, ON_SHEET))
    images = torch.stack([from_pil(Image.open(series.path(index))) for index in shown])
    path = series.folder / "contact_sheet.png"
    prompts = [series.prompt(index) for index in shown]
    settings = {"prompts": prompts, "negative_prompt": series.negative_prompt, **series.drawing}
    write_png(path, contact_sheet(images, prompts), settings)
    note = f" (the first {len(shown)} of {series.count} pictures)" if len(shown) < series.count else ""
    print(f"contact sheet: {path}{note}")
    print(f"denoising strip: {series.folder / 'denoising_strip.png'}")


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
