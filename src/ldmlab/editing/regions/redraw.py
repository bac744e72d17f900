"""Drawing part of a picture anew, which masked editing, uncropping and SDEdit have in common.

Shapes: N pictures, fH x fW pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.diffusion.process import add_noise
from ldmlab.editing.regions.blended import Blended, check_resampling
from ldmlab.editing.regions.composite import latent_mask
from ldmlab.editing.regions.windows import Window, windowed
from ldmlab.guidance.base import Guidance
from ldmlab.pipeline import Chunk, LatentDiffusion
from ldmlab.samplers.base import Sampler, SamplerHooks


@dataclass(frozen=True)
class Redraw:
    """How the inside is drawn.

    Attributes:
        resample: see `Blended`.
        jump: see `Blended`.
        strength: None to start from pure noise; otherwise the share of the steps that are made, from the picture noised
            to where they begin (SDEdit, Meng et al. 2022).

    Raises:
        ValueError: a count below 1, or a strength outside (0, 1].
    """

    resample: int = 1
    jump: int = 1
    strength: float | None = None

    def __post_init__(self) -> None:
        check_resampling(self.resample, self.jump)
        if self.strength is not None and not 0 < self.strength <= 1:
            raise ValueError(
                f"strength={self.strength}: a share of the steps above 0 and up to 1; the more, the freer of the image"
            )

    def first_step(self, steps: int) -> int:
        """The step that the run begins with; at least one is made."""
        return 0 if self.strength is None else steps - max(1, round(self.strength * steps))


@torch.no_grad()
def redraw(
    model: LatentDiffusion,
    pictures: UInt8[Tensor, "#N 3 fH fW"],
    mask: Bool[Tensor, "*N fH fW"] | None,
    batch: Mapping[str, Sequence[Any]] | None,
    seeds: Sequence[int],
    sampler: Sampler,
    guidance: Guidance,
    settings: Redraw,
    batch_size: int = 64,
    windows: Sequence[Window] | None = None,
) -> UInt8[Tensor, "N 3 fH fW"]:
    """Draw what is inside the mask, as decoded: the known pixels went through the autoencoder, see `composite`.

    Args:
        model: the parts.
        pictures: one for each seed, or one for all; inside the mask too, since an encoder looks at neighbours and
            `strength` starts from it.
        mask: True inside; one, or one for each seed. None for everywhere.
        batch: what the conditioner reads, see `LatentDiffusion.draw`.
        seeds: N of them.
        sampler: makes the steps.
        guidance: the method.
        settings: how.
        batch_size: pictures at once on a GPU.
        windows: of a canvas that is not the model's grid, see `windowed`: at least those over the mask.
    """
    known = model.encode(pictures)
    inside = None if mask is None else latent_mask(mask, model.autoencoder.factor).to(known.device)
    levels = sampler.levels(model.denoiser.schedule)
    levels = levels[settings.first_step(len(levels) - 1) :]
    shape = (known.shape[1], known.shape[2], known.shape[3])

    def run(chunk: Chunk) -> Tensor:
        latents = _of(known, chunk.rows)
        method = sampler
        if inside is not None:
            method = Blended(sampler, latents, _of(inside, chunk.rows), settings.resample, settings.jump)
        denoise = chunk.denoise if windows is None else windowed(chunk.denoise, windows)
        x = chunk.noise.draw()
        if settings.strength is not None:
            x = add_noise(latents.expand_as(x), x, levels[0])
        return method.sample(denoise, x, levels, SamplerHooks(step_noise=chunk.noise.like))

    return model.draw(batch, seeds, guidance, run, batch_size, latent_shape=shape)


def _of(each: Tensor, rows: Sequence[int]) -> Tensor:
    """The entries of some rows; an only one belongs to all."""
    return each if len(each) == 1 else each[list(rows)]
