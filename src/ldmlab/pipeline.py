"""A whole text-to-image model: autoencoder, denoiser and conditioner, and how pictures come out of it.

Shapes: N pictures, C latent channels, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.pixels import as_bytes, signed
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.guidance.base import Guidance, GuidedDenoiser
from ldmlab.guidance.none import NoGuidance
from ldmlab.guidance.observed import observed
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.noise import PictureNoise
from ldmlab.types import AttentionControl, Conditioning

SMALL_GRID = 16
"""Latent grids up to this side are drawn 8 pictures at a time on a CPU, larger ones one by one."""


def to_uint8(images: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Images in [-1, 1] as bytes, rounded and clamped.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not bool(torch.isfinite(images).all()):
        raise ValueError("the pictures hold NaN or infinite values; use an earlier checkpoint or less guidance.scale")
    return as_bytes(images)


@dataclass(frozen=True)
class Chunk:
    """The pictures that are drawn at once.

    Attributes:
        rows: their numbers; on a CPU the last may be repeated, see `LatentDiffusion.rows`.
        cond: what they show.
        denoise: what a sampler calls.
        noise: N(0, 1), each picture's own.
    """

    rows: Sequence[int]
    cond: Conditioning
    denoise: GuidedDenoiser
    noise: PictureNoise


class LatentDiffusion(nn.Module):
    """The trained parts and nothing of the training.

    Args:
        autoencoder: between images and latents.
        denoiser: estimates clean latents.
        conditioner: from prompts, labels or pictures to conditions.
        latent_grid: side of the square latent grid that the denoiser works on.
    """

    def __init__(
        self, autoencoder: Autoencoder, denoiser: Denoiser, conditioner: Conditioner, latent_grid: int
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.conditioner = conditioner
        conditioner.place(autoencoder, latent_grid)
        self.latent_shape = (autoencoder.latent_channels, latent_grid, latent_grid)

    @torch.no_grad()
    def require_drawable(
        self, batch: Mapping[str, Sequence[Any]], count: int, sampler: Sampler, guidance: Guidance
    ) -> None:
        """Refuse, without a pass of the denoiser, what `sample` could not draw.

        Args:
            batch: see `sample`.
            count: N.
            sampler: see `sample`.
            guidance: see `sample`.

        Raises:
            ValueError: the sampler, the guidance or a condition does not go with this model.
        """
        sampler.check(self.denoiser)
        guidance.check(self.denoiser, self.latent_shape[0], self.conditioner.says_something)
        self._bring(guidance)
        cond, uncond = self._conditions(batch, None, range(count), guidance)
        guidance.bind(self.denoiser, cond, uncond)

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
        observer: Callable[[Sequence[int]], AttentionControl] | None = None,
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
            negative: as `batch`, what guidance leads away from in place of the null condition; what it lacks, such as a
                picture, is that of `batch`.
            observer: from the numbers of the pictures drawn at once (on a CPU the last may be repeated) to a control
                that looks on, in a further pass before each that counts; see `guidance.observed`. It is told when a
                step begins, and nothing that it returns is used.

        Raises:
            ValueError: `negative` is given and the guidance makes no use of it.
        """
        levels = sampler.levels(self.denoiser.schedule)

        def run(chunk: Chunk) -> Tensor:
            hooks = SamplerHooks(after_step=_watched(on_step), step_noise=chunk.noise.like)
            denoise = chunk.denoise
            if observer is not None:
                onlooker = observer(chunk.rows)
                hooks = replace(hooks, before_step=onlooker.before_step)
                denoise = observed(denoise, self.denoiser, chunk.cond, onlooker)
            return sampler.sample(denoise, chunk.noise.draw(), levels, hooks)

        return self.draw(batch, seeds, guidance, run, batch_size, negative)

    @torch.no_grad()
    def draw(
        self,
        batch: Mapping[str, Sequence[Any]] | None,
        seeds: Sequence[int],
        guidance: Guidance,
        run: Callable[[Chunk], Float[Tensor, "B C H W"]],
        batch_size: int = 64,
        negative: Mapping[str, Sequence[Any]] | None = None,
        latent_shape: tuple[int, int, int] | None = None,
    ) -> UInt8[Tensor, "N 3 fH fW"]:
        """Pictures as `sample` draws them, but by whatever leads from a chunk's noise to its latents.

        Args:
            batch: see `sample`; None for the null condition, without guidance.
            seeds: see `sample`.
            guidance: see `sample`.
            run: draws the latents of a chunk.
            batch_size: see `sample`.
            negative: see `sample`.
            latent_shape: of a picture's noise; that of the denoiser if not given.
        """
        self._bring(guidance)
        chunks = []
        for rows, count in self._chunks(len(seeds), batch_size):
            if batch is None:
                cond, uncond = self.conditioner.null(len(rows)), None
            else:
                cond, uncond = self._conditions(batch, negative, rows, guidance)
            chosen = NoGuidance() if batch is None else guidance
            denoise = chosen.bind(self.denoiser, cond, uncond)
            shape = latent_shape or self.latent_shape
            noise = PictureNoise([seeds[i] for i in rows], shape, self.autoencoder.latent_mean.device)
            latents = run(Chunk(rows, cond, denoise, noise))
            if shape == self.latent_shape:
                chunks.append(self.decode(latents)[:count].cpu())
            else:  # one by one, because of their size
                chunks += [self.decode(one).cpu() for one in latents[:count].split(1)]
        return torch.cat(chunks)

    @torch.no_grad()
    def sample_pairs(
        self,
        source: Mapping[str, Sequence[Any]],
        target: Mapping[str, Sequence[Any]],
        seeds: Sequence[int],
        sampler: Sampler,
        guidance: Guidance,
        control: Callable[[Sequence[int]], AttentionControl],
        batch_size: int = 64,
        on_step: Callable[[int, Tensor], None] | None = None,
    ) -> tuple[UInt8[Tensor, "N 3 fH fW"], UInt8[Tensor, "N 3 fH fW"]]:
        """Two pictures from each seed, drawn side by side from the same noise, so that a control can relate them.

        The control sees the conditional passes: first the rows of `source`, then as many of `target`.

        Args:
            source: as `batch` of `sample`.
            target: the same for the second pictures.
            seeds: one a pair; both pictures share it, and the noise of stochastic samplers too.
            sampler: the method.
            guidance: the method.
            control: from the numbers of the pairs drawn at once to the control of that run.
            batch_size: see `sample`.
            on_step: see `sample`; the latents are those of both.

        Returns:
            The first pictures and the second ones.
        """
        self._bring(guidance)
        chunks: list[tuple[Tensor, Tensor]] = []
        for rows, count in self._chunks(len(seeds), batch_size, pairs=not guidance.joint):
            halves = [self._conditions(batch, None, rows, guidance) for batch in (source, target)]
            cond = Conditioning.cat([half for half, _ in halves])
            unconds = [half for _, half in halves if half is not None]
            uncond = Conditioning.cat(unconds) if unconds else None
            noise = PictureNoise([seeds[i] for i in rows], self.latent_shape, self.autoencoder.latent_mean.device)
            ruler = control(rows)
            hooks = SamplerHooks(
                before_step=ruler.before_step,
                after_step=_watched(on_step, ruler.after_step),
                step_noise=partial(_shared, noise),
            )
            denoise = guidance.bind(self.denoiser, cond, uncond, ruler)
            start = torch.cat([noise.draw()] * 2)
            latents = sampler.sample(denoise, start, sampler.levels(self.denoiser.schedule), hooks)
            pictures = torch.cat([self.decode(part) for part in latents.split(self.rows(batch_size))])
            first, second = (half[:count].cpu() for half in pictures.chunk(2))
            chunks.append((first, second))
        return torch.cat([first for first, _ in chunks]), torch.cat([second for _, second in chunks])

    def rows(self, batch_size: int) -> int:
        """How many pictures are drawn at once.

        Kernels choose their order of summation by the batch, so on a CPU the number follows from the model alone, and
        the last batch is filled up: then a picture's bytes do not depend on how many are asked for.
        """
        if self._on_gpu:
            return batch_size
        return 8 if max(self.latent_shape[1:]) <= SMALL_GRID else 1

    def _chunks(self, count: int, batch_size: int, pairs: bool = False) -> Iterator[tuple[list[int], int]]:
        """The pictures drawn at once, on a CPU filled up by repeating the last, and how many of them count.

        With `pairs` as many pairs as make so many pictures, for guidance whose passes see the pictures alone.
        """
        at_once = max(1, self.rows(batch_size) // 2) if pairs else self.rows(batch_size)
        for start in range(0, count, at_once):
            rows = list(range(start, min(start + at_once, count)))
            filling = [] if self._on_gpu else rows[-1:] * (at_once - len(rows))
            yield rows + filling, len(rows)

    def _bring(self, guidance: Guidance) -> None:
        """A guidance with a model of its own goes where this one is."""
        if isinstance(guidance, nn.Module):
            guidance.to(self.autoencoder.latent_mean.device)

    @property
    def _on_gpu(self) -> bool:
        return self.autoencoder.latent_mean.is_cuda

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N 3 fH fW"]:
        """Latents as pictures."""
        return to_uint8(self.autoencoder.decode(latents))

    @torch.no_grad()
    def encode(self, pictures: UInt8[Tensor, "N 3 fH fW"]) -> Float[Tensor, "N C H W"]:
        """Pictures of any size as latents, the mean of what the encoder allows; one by one, see `rows`."""
        device = self.autoencoder.latent_mean.device
        images = signed(pictures.to(device))
        return torch.cat([self.autoencoder.moments(image[None])[0] for image in images])

    def _conditions(
        self,
        batch: Mapping[str, Sequence[Any]],
        negative: Mapping[str, Sequence[Any]] | None,
        rows: Sequence[int],
        guidance: Guidance,
    ) -> tuple[Conditioning, Conditioning | None]:
        """What to draw, and what to lead away from."""
        part = _pick(batch, rows)
        cond, opposite = self.conditioner(part), guidance.opposite(part)
        unguided = isinstance(guidance, NoGuidance)
        if negative is not None and (opposite is not None or unguided):
            raise ValueError(
                "negative_prompt: this guidance makes no use of a negative prompt; use guidance=classifier_free"
            )
        if unguided or opposite is not None:
            return cond, opposite
        if negative is None:
            return cond, self.conditioner.null_beside(cond, len(rows))
        return cond, self.conditioner({**part, **_pick(negative, rows)})


def _shared(noise: PictureNoise, x: Tensor) -> Tensor:
    """The next noise of each pair, for both of its pictures."""
    return torch.cat([noise.draw().to(x)] * 2)


def _watched(
    on_step: Callable[[int, Tensor], None] | None, then: Callable[[int, Tensor], Tensor] = lambda step, x: x
) -> Callable[[int, Tensor], Tensor]:
    """An `after_step` that also tells the caller."""

    def after_step(step: int, x: Tensor) -> Tensor:
        x = then(step, x)
        if on_step is not None:
            on_step(step, x)
        return x

    return after_step


def _pick(batch: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> dict[str, list[Any]]:
    return {key: [values[row] for row in rows] for key, values in batch.items()}
