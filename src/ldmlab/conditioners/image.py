"""Conditions that are pictures: concatenated to the noisy latents (Rombach et al. 2022, sections 3.3 and 4.4).

Shapes: B batch, Cc channels of the condition, H x W latent grid, f the autoencoder's factor.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ldmlab.conditioners.base import Captions, Conditioner, LatentSpace
from ldmlab.conditioners.frozen_text import FrozenText
from ldmlab.conditioners.none import NoCondition
from ldmlab.conditioners.pixels import signed
from ldmlab.conditioners.words import PromptWords
from ldmlab.draws import Draws
from ldmlab.types import Conditioning


class ImageConditioner(Conditioner):
    """Gives `concat`, a picture on the latent grid, and the fields of another conditioner beside it.

    Where the other one gives something, dropout and guidance take that away and keep the picture, as Stable Diffusion's
    inpainting does; where it gives nothing, zeros stand for no picture.

    Args:
        text: the other conditioner; none if not given.

    Attributes:
        shows: what `naive` gives, in words.
    """

    shows: str

    def __init__(self, text: Conditioner | None = None) -> None:
        super().__init__()
        self.text = text or NoCondition()
        if self.text.concat_channels or isinstance(self.text, ImageConditioner):
            raise ValueError("conditioner.text: is conditioned on an image too; choose one that reads text, or none")
        self.context_width, self.vector_width = self.text.context_width, self.text.vector_width
        self.reads, self.classes = self.text.reads | {"images"}, self.text.classes
        self._placed: tuple[LatentSpace, int] | None = None  # in a tuple, so that it is no submodule

    @property
    def frozen(self) -> FrozenText | None:
        """That of the other conditioner."""
        return self.text.frozen

    @abstractmethod
    def channels(self, space: LatentSpace) -> int:
        """Cc, how many channels are concatenated to latents of a space.

        Raises:
            ValueError: the task and the autoencoder do not fit each other.
        """

    @abstractmethod
    def concat(self, batch: Mapping[str, Any]) -> Float[Tensor, "B Cc H W"]:
        """The channels that are concatenated to the noisy latents."""

    @abstractmethod
    def naive(self, batch: Mapping[str, Any]) -> Float[Tensor, "B 3 fH fW"]:
        """What there is without a model, as pictures in [-1, 1]: the baseline of the task."""

    def finish(self, batch: Mapping[str, Any], pictures: UInt8[Tensor, "B 3 fH fW"]) -> UInt8[Tensor, "B 3 fH fW"]:
        """Put known pixels back into drawn pictures, exactly; none are known unless a task says so."""
        return pictures

    def given(
        self, image: UInt8[Tensor, "3 _ _"], mask: Bool[Tensor, "_ _"] | None = None
    ) -> dict[str, Float[Tensor, "1 ..."]]:
        """What `forward` reads, for a picture of a user's.

        Args:
            image: the picture.
            mask: True where it is to be filled.

        Raises:
            ValueError: the picture or the mask is of another size, or the task has no mask.
        """
        if mask is not None:
            raise ValueError(f"mask: conditioner '{type(self).__name__}' fills no mask; leave it out")
        require_side(image, self.side)
        return {"images": signed(image)[None]}

    def place(self, space: LatentSpace, grid: int) -> None:
        """Learn of the latents that are conditioned, and with them how many channels are concatenated.

        Args:
            space: the frozen autoencoder. It is seen, not owned: its weights stay out of this module's.
            grid: side of the square latent grid.
        """
        self.text.place(space, grid)
        self.concat_channels = self.channels(space)
        self._placed = space, grid

    def as_tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch with what the other conditioner reads as tensors; pictures are tensors already."""
        return self.text.as_tensors(batch)

    @property
    def space(self) -> LatentSpace:
        """The frozen autoencoder whose latents are conditioned.

        Raises:
            ValueError: `place` has not been called.
        """
        return self._require_placed()[0]

    @property
    def side(self) -> int:
        """Side of the square pictures that the model draws, in pixels.

        Raises:
            ValueError: `place` has not been called.
        """
        space, grid = self._require_placed()
        return grid * space.factor

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """The picture as `concat`, and the fields that the other conditioner gives."""
        return replace(self.text(batch), concat=self.concat(batch))

    def null(self, n: int) -> Conditioning:
        """n conditions without text and without picture: the other conditioner's null, and zeros as `concat`."""
        _, grid = self._require_placed()
        return replace(self.text.null(n), concat=torch.zeros(n, self.concat_channels, grid, grid, device=self.device()))

    def null_beside(self, cond: Conditioning, n: int) -> Conditioning:
        """What n samples become without their condition: the picture stays and the text goes.

        Where there is no text to take away, zeros stand for no picture.
        """
        null, concat = self.text.null(n), cond.concat
        return replace(null, concat=torch.zeros_like(concat) if null.empty and concat is not None else concat)

    def batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """What the other conditioner reads, for prompts; a picture comes from data, or from `given`."""
        return self.text.batch(prompts)

    def words(self, prompt: str) -> PromptWords:
        """Which positions of `context` belong to which words of a prompt, as the other conditioner reads it."""
        return self.text.words(prompt)

    def prepare(self, captions: Captions) -> None:
        """Let the other conditioner fit what it makes from the training captions, such as a tokenizer."""
        self.text.prepare(captions)

    def device(self) -> torch.device:
        """Where the autoencoder is, and the conditions with it."""
        return self.space.latent_mean.device

    def _require_placed(self) -> tuple[LatentSpace, int]:
        if self._placed is None:
            raise ValueError(f"conditioner '{type(self).__name__}': has no latents yet; call place(autoencoder, grid)")
        return self._placed


def require_side(image: UInt8[Tensor, "3 h w"], side: int) -> None:
    """Refuse a user's picture that is not square and of that side.

    Raises:
        ValueError: both sizes are named.
    """
    height, width = image.shape[1:]
    if (height, width) != (side, side):
        raise ValueError(f"image: is {width}x{height} pixels and the model reads {side}x{side}; crop or resize it")


def complete_each(conditioner: Conditioner, batch: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """`Conditioner.complete` with a seed for each sample, so that its task does not depend on the others."""
    rows = []
    for row, seed in enumerate(seeds):
        one = {key: values[row : row + 1] for key, values in batch.items()}
        rows.append(conditioner.complete(one, Draws(1, generator=torch.Generator().manual_seed(seed))))
    added = {key: torch.cat([row[key] for row in rows]) for key in rows[0] if key not in batch}
    return {**batch, **added}
