"""What every conditioner shares: the null condition and condition dropout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.conditioners.words import PromptWords
from ldmlab.draws import Draws
from ldmlab.types import Conditioning

if TYPE_CHECKING:
    from ldmlab.conditioners.frozen_text import FrozenText


class LatentSpace(Protocol):
    """What conditions on the latent grid know of the frozen autoencoder.

    Attributes:
        latent_channels: C.
        factor: f.
        latent_mean: of the raw latents; where it is, the autoencoder is.
    """

    latent_channels: int
    factor: int
    latent_mean: Tensor

    def moments(self, images: Float[Tensor, "B 3 fH fW"]) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]:
        """Mean and standard deviation of the normalised latents of images in [-1, 1]."""


class Captions(Protocol):
    """Text by number: a list, or a table that is too large for one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> str: ...


class Conditioner(nn.Module, ABC):
    """Turns a batch into what a backbone is told.

    Attributes:
        context_width: D of the `context` that it gives; None where it gives none.
        vector_width: V of the `vector` that it gives; None where it gives none.
        concat_channels: Cc of the `concat` that it gives, known once it is placed; 0 where it gives none.
        encodes: whether `forward` encodes a picture with the frozen autoencoder.
        reads: the keys of a batch that `forward` reads.
        classes: labels that it reads are below; None where it reads none.
    """

    context_width: int | None = None
    vector_width: int | None = None
    concat_channels: int = 0
    encodes: bool = False
    reads: frozenset[str] = frozenset()
    classes: int | None = None

    @property
    def frozen(self) -> FrozenText | None:
        """The part of it that reads captions with weights that nobody trains; None by default."""
        return None

    @property
    def says_something(self) -> bool:
        """Whether a model with this conditioner is conditional at all."""
        return self.context_width is not None or self.vector_width is not None or self.concat_channels > 0

    @abstractmethod
    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Condition on a batch of B samples.

        Raises:
            ValueError: the batch lacks what this conditioner reads.
        """

    def as_tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """A batch of data with what `forward` reads as tensors on the CPU, checked, to be moved with the rest.

        `forward` does so itself where it is not done before, and then copies within a step. Nothing by default.

        Raises:
            ValueError: the batch lacks what this conditioner reads, or holds values that it does not understand.
        """
        return batch

    @abstractmethod
    def null(self, n: int) -> Conditioning:
        """n times the condition that says nothing, with the same fields and lengths as `forward` gives."""

    def null_beside(self, cond: Conditioning, n: int) -> Conditioning:
        """What n samples of `cond` become without their condition: `null`, unless a part of it always stays."""
        return self.null(n)

    def place(self, space: LatentSpace, grid: int) -> None:
        """Learn of the latents that are conditioned, before anything is drawn; only conditions on their grid need it.

        Args:
            space: the frozen autoencoder. It is seen, not owned: its weights stay out of this module's.
            grid: side of the square latent grid.
        """

    def complete(self, batch: Mapping[str, Any], draws: Draws | None = None) -> Mapping[str, Any]:
        """A batch of data with what users give and data lack, drawn at random; nothing by default.

        Args:
            batch: of data.
            draws: for its samples; from PyTorch's own generator if not given.
        """
        return batch

    def batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """What `forward` reads, for prompts as a user types them.

        Raises:
            ValueError: a prompt is none that this conditioner understands.
        """
        return {"captions": list(prompts)}

    def words(self, prompt: str) -> PromptWords:
        """Which positions of `context` belong to which words of a prompt.

        Raises:
            ValueError: this conditioner reads no words.
        """
        raise ValueError(f"conditioner {type(self).__name__}: reads no words, so there are no words to edit")

    def drop(self, cond: Conditioning, p: float, count: int, draws: Draws | None = None) -> Conditioning:
        """Put `null_beside` in the place of each of `count` samples with probability p, in all fields together.

        Args:
            cond: of these samples.
            p: in [0, 1].
            count: of samples.
            draws: for them; from PyTorch's own generator if not given.
        """
        if p == 0:
            return cond
        keep = (draws or Draws(count)).rand(device=self.device()) >= p
        return cond.where(keep, self.null_beside(cond, count))

    def prepare(self, captions: Captions) -> None:
        """Fit whatever is made from the training captions before training; nothing by default."""

    def device(self) -> torch.device:
        """The device of the conditioner's weights, where conditions are made."""
        first = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if first is None else first.device


def require_key(batch: Mapping[str, Any], key: str, conditioner: str) -> Any:
    """Return `batch[key]`.

    Args:
        batch: what a conditioner is given.
        key: what it reads.
        conditioner: its name, for the message.

    Raises:
        ValueError: the key is missing.
    """
    if key not in batch:
        raise ValueError(f"conditioner '{conditioner}' reads '{key}', which the data lacks; choose another conditioner")
    value: Any = batch[key]
    return value


def expand_rows(tensor: Tensor, n: int) -> Tensor:
    """Repeat a single row n times without copying."""
    return tensor.expand(n, *tensor.shape[1:])
