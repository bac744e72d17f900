"""Pictures of prompts in a folder: each written when it is drawn, then a contact sheet and a denoising strip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor

from ldmlab.drawing.computing import Compile, ready_to_draw
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.prompted import draw_prompts
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.pictures.contact_sheet import contact_sheet, from_pil
from ldmlab.pictures.png import read_settings, write_png
from ldmlab.pictures.series import Series
from ldmlab.progress import progress
from ldmlab.ranks import ALONE, Ranks

STRIP_PICTURES = 8
ON_SHEET = 64
WRITERS = 8
"""Files that are written at once: each waits for its disk."""


def draw_series(
    model: LatentDiffusion,
    drawing: Drawing,
    series: Series,
    compile: Compile = "auto",
    tell: Callable[[str], None] = print,
    ranks: Ranks = ALONE,
) -> None:
    """Draw what a series lacks, and lay it out.

    Pictures that are there, drawn as these are to be, are not drawn again: so a run that was ended goes on.

    Args:
        model: on its device.
        drawing: how; a seed for each picture of the series.
        series: the pictures and their folder.
        compile: see `Compile`.
        tell: called with a line at a time: what is there already, and where the sheets are.
        ranks: among which the pictures are shared; each of them calls this.

    Raises:
        ValueError: the folder holds other pictures, or these cannot be drawn.
    """
    found = ranks.first(series.found() if ranks.is_first else [])
    there = frozenset().union(*ranks.gather(series.drawn(ranks.share(found))))
    if there:
        tell(f"{len(there)} of {series.count} pictures are there already")
    strip = _Strip(model, series, drawing.sampler.steps)
    has_strip = ranks.first(strip.is_there)
    missing = [index for index in range(series.count) if index not in there or (index == 0 and not has_strip)]
    own = ranks.share(missing)
    _draw(model, ready_to_draw(model, drawing, compile, len(own)), series, own, strip, missing[:1])
    ranks.barrier()
    if ranks.is_first:
        _write_sheet(series, tell)


def _draw(
    model: LatentDiffusion,
    drawing: Drawing,
    series: Series,
    own: Sequence[int],
    strip: _Strip,
    first: Sequence[int],
) -> None:
    """Draw and write the pictures of this rank.

    Args:
        model: see `draw_series`, as `drawing` and `series`.
        own: numbers of the pictures.
        strip: what becomes of picture 0 on the way.
        first: the number of the first picture that any rank draws.
    """
    prompts = [series.prompt(index) for index in range(series.count)]
    batches = -(-len(own) // drawing.rows(model))
    with progress("sampling", batches * drawing.sampler.steps) as advance:

        def watch(rows: Sequence[int], step: int, latents: Tensor) -> None:
            advance(1)
            if rows[0] == 0:
                strip.see(step, latents)

        with ThreadPoolExecutor(WRITERS) as writers:
            for rows, images in draw_prompts(model, drawing, prompts, series.negative_prompt, own, watch):
                if rows[0] in first:
                    series.write_prompts()  # once it is known that this can be drawn at all
                list(writers.map(series.write, rows, images))


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


def _write_sheet(series: Series, tell: Callable[[str], None]) -> None:
    """Of the first pictures, as they were written."""
    shown = range(min(series.count, ON_SHEET))
    images = torch.stack([from_pil(Image.open(series.path(index))) for index in shown])
    path = series.folder / "contact_sheet.png"
    prompts = [series.prompt(index) for index in shown]
    settings = {"prompts": prompts, "negative_prompt": series.negative_prompt, **series.drawing}
    write_png(path, contact_sheet(images, prompts), settings)
    note = f" (the first {len(shown)} of {series.count} pictures)" if len(shown) < series.count else ""
    tell(f"contact sheet: {path}{note}")
    tell(f"denoising strip: {series.folder / 'denoising_strip.png'}")
