"""Pictures of prompts, a batch at a time as they are drawn.

Shapes: N pictures, B of them drawn at once, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded

AT_ONCE = 64
"""Prompts that are looked at together before anything is drawn."""
Watch = Callable[[Sequence[int], int, Tensor], None]
"""Told of each step: the numbers of the pictures, the step, and the latents that it ends with."""


def require_prompted(loaded: Loaded[LatentDiffusion]) -> None:
    """Refuse a model that draws from a picture.

    Raises:
        ValueError: it does.
    """
    if loaded.model.conditioner.concat_channels:
        raise ValueError(
            f"ckpt={loaded.path}: this model draws from a picture; give it one: "
            "ldmlab edit method=image_to_image image=PATH"
        )


@torch.no_grad()
def check_prompts(model: LatentDiffusion, prompts: Sequence[str]) -> None:
    """Refuse prompts that a model cannot draw, before anything is drawn or written.

    The first ones are encoded; of the others, which may be many thousands, it is seen that they can be.

    Raises:
        ValueError: its conditioner cannot read one.
    """
    read = model.conditioner
    read(read.batch(prompts[:AT_ONCE]))
    for start in range(AT_ONCE, len(prompts), AT_ONCE):
        read.as_tensors(read.batch(prompts[start : start + AT_ONCE]))


def draw_prompts(
    model: LatentDiffusion,
    drawing: Drawing,
    prompts: Sequence[str],
    negative_prompt: str | None = None,
    numbers: Sequence[int] | None = None,
    watch: Watch | None = None,
) -> Iterator[tuple[Sequence[int], UInt8[Tensor, "B 3 fH fW"]]]:
    """Draw pictures, each from its prompt and its seed alone; see `Drawing.rows` for how many at once.

    Args:
        model: the parts, which compute as `drawing` says.
        drawing: how; a seed for each of the N pictures.
        prompts: N of them.
        negative_prompt: what guidance leads all of them away from, in place of the null condition.
        numbers: of the pictures to draw; all N if not given.
        watch: see `Watch`.

    Yields:
        The numbers of the pictures, and the pictures.

    Raises:
        ValueError: a prompt cannot be read, or the guidance makes no use of a negative one.
    """
    wanted = range(len(prompts)) if numbers is None else numbers
    at_once = drawing.rows(model)
    for start in range(0, len(wanted), at_once):
        rows = wanted[start : start + at_once]

        def on_step(step: int, latents: Tensor, rows: Sequence[int] = rows) -> None:
            if watch is not None:
                watch(rows, step, latents)

        batch = model.conditioner.batch([prompts[row] for row in rows])
        negative = None if negative_prompt is None else model.conditioner.batch([negative_prompt] * len(rows))
        yield rows, sample(model, drawing.of([drawing.seeds[row] for row in rows]), batch, on_step, negative)
