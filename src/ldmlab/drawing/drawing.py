"""How pictures are drawn: the one value that commands, callbacks and editing methods hand on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from ldmlab.drawing.conditions import Batch, Subject, conditions
from ldmlab.guidance.base import Guidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.samplers.base import Sampler

SMALL_GRID = 16
"""Latent grids up to this side are drawn 8 pictures at a time on a CPU, larger ones one by one."""


@dataclass(frozen=True)
class Drawing:
    """How N pictures are drawn, or N pairs.

    Attributes:
        sampler: the method that leads from noise to latents.
        guidance: how strongly conditions lead it.
        seeds: one a picture or pair, from which all of its noise is drawn.
        batch_size: pictures at once on a GPU, a limit on memory.
        precision: what networks compute in; None leaves that to their weights. Latents are fp32 in every one.
        compiled: whether networks are compiled, and that for one size of batch: the last batch is filled up.
    """

    sampler: Sampler
    guidance: Guidance
    seeds: Sequence[int]
    batch_size: int = 64
    precision: Precision | None = None
    compiled: bool = False

    def of(self, seeds: Sequence[int]) -> Drawing:
        """This way to draw, for pictures of other seeds."""
        return replace(self, seeds=seeds)

    def rows(self, model: LatentDiffusion) -> int:
        """How many pictures are drawn at once.

        Kernels choose their order of summation by the batch, so on a CPU the number follows from the model alone, and
        the last batch is filled up: then a picture's bytes do not depend on how many are asked for.
        """
        if model.device.type != "cpu":
            return self.batch_size
        return 8 if max(model.latent_shape[1:]) <= SMALL_GRID else 1

    def fills(self, model: LatentDiffusion) -> bool:
        """Whether the last batch is filled up to `rows` by drawing its last picture again."""
        return self.compiled or model.device.type == "cpu"

    def running(self, model: LatentDiffusion) -> AbstractContextManager[object]:
        """Let the networks compute in `precision` inside the block."""
        return nullcontext() if self.precision is None else self.precision.running(model.denoiser.backbone)

    def arithmetic(self) -> AbstractContextManager[object]:
        """Inside the block, multiply what is fp32 as `precision` does; without one, as PyTorch was told."""
        return nullcontext() if self.precision is None else self.precision.arithmetic()

    @torch.no_grad()
    def check(self, model: LatentDiffusion, batch: Batch) -> None:
        """Refuse, without a pass of the denoiser, what could not be drawn.

        Args:
            model: that is to draw.
            batch: what its conditioner reads.

        Raises:
            ValueError: the sampler, the guidance or a condition does not go with this model.
        """
        self.sampler.check(model.denoiser)
        self.guidance.check(model.denoiser, model.latent_shape[0], model.conditioner.says_something)
        made = conditions(model, self.guidance, Subject(batch), range(len(self.seeds)))
        self.guidance.bind(model.denoiser, made.cond, made.uncond)
