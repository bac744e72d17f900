"""What every conditioner shares: the null condition and condition dropout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ldmlab.conditioners.words import PromptWords
from ldmlab.types import Conditioning


class Conditioner(nn.Module, ABC):
    """Turns a batch into what a backbone is told.

    Attributes:
        context_width: D of the `context` that it gives; None where it gives none.
        vector_width: V of the `vector` that it gives; None where it gives none.
    """

    context_width: int | None = None
    vector_width: int | None = None

    @abstractmethod
    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Condition on a batch of B samples.

        Raises:
            ValueError: the batch lacks what this conditioner reads.
        """

    @abstractmethod
    def null(self, n: int) -> Conditioning:
        """n times the condition that says nothing, with the same fields and lengths as `forward` gives."""

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

    def drop(self, cond: Conditioning, p: float, count: int) -> Conditioning:
        """Replace each of `count` samples by the null condition with probability p, all of its fields together."""
        if p == 0:
            return cond
        device = self.device()
        keep = torch.rand(count, device=device) >= p
        return cond.where(keep, self.null(count))

    def prepare(self, captions: list[str]) -> None:
        """Fit whatever is made from the training captions before training; nothing by default."""

    def device(self) -> torch.device:
        """Where the weights are."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")


def require(batch: Mapping[str, Any], key: str, conditioner: str) -> Any:
    """Return `batch[key]`.

    Raises:
        ValueError: it is missing.
    """
    if key not in batch:
        raise ValueError(f"conditioner '{conditioner}' reads '{key}', which the data lacks; choose another conditioner")
    value: Any = batch[key]
    return value


def expand_rows(tensor: Tensor, n: int) -> Tensor:
    """Repeat a single row n times without copying."""
    return tensor.expand(n, *tensor.shape[1:])
