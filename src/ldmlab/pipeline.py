"""A whole text-to-image model: autoencoder, denoiser and conditioner, and how pictures come out of it.

Shapes: N pictures, C latent channels, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.none import NoGuidance
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.noise import PictureNoise
from ldmlab.types import Conditioning, Denoise

SMALL_GRID = 16
"""Latent grids up to this side are drawn 8 pictures at a time on a CPU, larger ones one by one."""


def to_uint8(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [-1, 1] as bytes, rounded and clamped.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not bool(torch.isfinite(images).all()):
        raise ValueError("the pictures hold NaN or infinite values; use an earlier checkpoint or less guidance.scale")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class LatentDiffusion(nn.Module):
    """The trained parts and nothing of the training.

    Args:
        autoencoder: between images and latents.
        denoiser: estimates clean latents.
        conditioner: from prompts or labels to conditions.
        latent_grid: side of the square latent grid that the denoiser works on.
    """

    def __init__(
        self, autoencoder: Autoencoder, denoiser: Denoiser, conditioner: Conditioner, latent_grid: int
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.conditioner = conditioner
        self.latent_shape = (autoencoder.latent_channels, latent_grid, latent_grid)

    @torch.no_grad()
    def sample(
        self,
        batch: Mapping[str, Sequence[Any]],
        seeds: Sequence[int],
        sampler: Sampler,
        guidance: Guidance,
        batch_size: int = 64,
        on_step: Callable[[int, Tensor], None] | None = None,
        negative: Mapping[str, Sequence[Any]] | None = None,
    ) -> UInt8[Tensor, "N 3 fH fW"]:
        """Pictures for a batch of conditions, for example `{"captions": [...]}`, one seed each.

        A picture depends on its own seed and condition alone, on a CPU to the last bit; see `rows`.

        Args:
            batch: what the conditioner reads; every value has N entries.
            seeds: N seeds of `PictureNoise`.
            sampler: the method.
            guidance: the method.
            batch_size: pictures at once on a GPU, a limit on memory.
            on_step: called with (step, latents) after every step of every chunk.
            negative: as `batch`, what guidance leads away from in place of the null condition.

        Raises:
            ValueError: `negative` is given and the guidance makes no use of it.
        """
        if isinstance(guidance, nn.Module):
            guidance.to(self.autoencoder.latent_mean.device)
        chunks = []
        at_once = self.rows(batch_size)
        for start in range(0, len(seeds), at_once):
            rows = range(start, min(start + at_once, len(seeds)))
            padded = [*rows, *[rows[-1]] * (0 if self._on_gpu else at_once - len(rows))]
            cond, uncond = self._conditions(batch, negative, padded, guidance)
            denoise = guidance.bind(self.denoiser, cond, uncond)
            latents = self._latents(denoise, [seeds[i] for i in padded], sampler, on_step)
            chunks.append(self.decode(latents)[: len(rows)].cpu())
        return torch.cat(chunks)

    def rows(self, batch_size: int) -> int:
        """How many pictures are drawn at once.

        Kernels choose their order of summation by the batch, so on a CPU the number follows from the model alone, and
        the last batch is filled up: then a picture's bytes do not depend on how many are asked for.
        """
        if self._on_gpu:
            return batch_size
        return 8 if max(self.latent_shape[1:]) <= SMALL_GRID else 1

    @property
    def _on_gpu(self) -> bool:
        return self.autoencoder.latent_mean.is_cuda

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N 3 fH fW"]:
        """Latents as pictures."""
        return to_uint8(self.autoencoder.decode(latents))

    def _conditions(
        self,
        batch: Mapping[str, Sequence[Any]],
        negative: Mapping[str, Sequence[Any]] | None,
        rows: Sequence[int],
        guidance: Guidance,
    ) -> tuple[Conditioning, Conditioning]:
        """What to draw, and what to lead away from."""
        part = _pick(batch, rows)
        opposite = guidance.opposite(part)
        if negative is not None and (opposite is not None or isinstance(guidance, NoGuidance)):
            raise ValueError("this guidance makes no use of a negative prompt; use guidance=classifier_free")
        if opposite is None:
            opposite = self.conditioner.null(len(rows)) if negative is None else self.conditioner(_pick(negative, rows))
        return self.conditioner(part), opposite

    def _latents(
        self,
        denoise: Denoise,
        seeds: Sequence[int],
        sampler: Sampler,
        on_step: Callable[[int, Tensor], None] | None,
    ) -> Float[Tensor, "N C H W"]:
        noise = PictureNoise(seeds, self.latent_shape, self.autoencoder.latent_mean.device)

        def after_step(step: int, x: Tensor) -> Tensor:
            if on_step is not None:
                on_step(step, x)
            return x

        hooks = SamplerHooks(after_step=after_step, step_noise=noise.like)
        return sampler.sample(denoise, noise.draw(), sampler.levels(self.denoiser.schedule), hooks)


def _pick(batch: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> dict[str, list[Any]]:
    return {key: [values[row] for row in rows] for key, values in batch.items()}
