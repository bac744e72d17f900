"""Draws what the methods of `Model` give.

Shapes: N pictures, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ldmlab.api.attention import AttentionMaps
from ldmlab.api.edits import Edits
from ldmlab.api.ready import Ready
from ldmlab.drawing.prompted import draw_prompts
from ldmlab.editing.maps.word_maps import WordMaps
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.parts import edited_parts
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.gallery import Pictures
from ldmlab.pictures.png import with_settings
from ldmlab.pictures.series import picture_record
from ldmlab.progress import passes, progress
from ldmlab.studio.attention import MapRequest, draw_with_maps
from ldmlab.studio.edits import EditRecord


def samples(ready: Ready, prompts: Sequence[str], negative_prompt: str | None = None) -> Pictures:
    """Pictures of N prompts, one each, with the settings by which they were drawn."""
    drawing = ready.drawing
    pictures = Pictures()
    batches = -(-len(prompts) // drawing.rows(ready.model))
    with progress("sampling", batches * drawing.sampler.steps) as advance:

        def watch(rows: Sequence[int], step: int, latents: Tensor) -> None:
            advance(1)

        for rows, images in draw_prompts(ready.model, drawing, prompts, negative_prompt, watch=watch):
            for row, image in zip(rows, images, strict=True):
                settings = picture_record(ready.record, prompts[row], row, negative_prompt)
                pictures.append(with_settings(to_pil(image), settings))
    return pictures


def edits(method: EditMethod, task: EditTask, record: EditRecord) -> Edits:
    """What a method makes of a task, for all of its seeds."""
    with passes(task.model.denoiser.backbone, "drawing"), task.drawing.arithmetic():
        parts = [edited for _, edited in edited_parts(method, task)]
    before = _joined([part.before for part in parts], once=record.image is not None)
    after = [_joined(rows) for rows in zip(*(part.after for part in parts), strict=True)]
    return Edits(Edited(before, after, parts[0].notes), record)


def _joined(rows: Sequence[SheetRow], once: bool = False) -> SheetRow:
    """The rows of seeds that were drawn one after the other; `once` where one picture stands for all of them."""
    pictures = rows[0].pictures if once else torch.cat([row.pictures for row in rows])
    return SheetRow(rows[0].title, pictures)


def attention(ready: Ready, request: MapRequest) -> AttentionMaps:
    """Pictures and the maps of their words, for all seeds."""
    pictures: list[Tensor] = []
    titles: list[tuple[str, ...]] = []
    parts: list[Any] = []
    for _, images, maps in draw_with_maps(ready.model, ready.drawing, request):
        pictures.append(images)
        titles += maps.titles
        parts += maps.parts
    return AttentionMaps(torch.cat(pictures), WordMaps(titles, parts), request, ready.record)
