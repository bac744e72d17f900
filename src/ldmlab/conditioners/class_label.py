"""Class labels through a table, with one more row for "no class" (Peebles & Xie 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ldmlab.conditioners.base import Conditioner, require_key
from ldmlab.types import Conditioning


class ClassLabel(Conditioner):
    """Gives `vector`, or the same as a `context` of one token. The null class is the table's last row, index `classes`.

    Args:
        classes: number of classes; `batch["labels"]` holds integers in [0, classes).
        width: V of the vector.
        as_context: whether it gives a token for cross-attention, as in latent diffusion (Rombach et al. 2022).
        null_class: whether the table has a row for "no class". That of the public LDM-8 has none: it cannot be guided.
    """

    reads = frozenset({"labels"})
    classes: int

    def __init__(self, classes: int, width: int, as_context: bool = False, null_class: bool = True) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"conditioner.classes={classes}: there must be at least one class")
        self.classes = classes
        self.as_context = as_context
        self.vector_width = None if as_context else width
        self.context_width = width if as_context else None
        self.null_class = null_class
        self.table = nn.Embedding(classes + null_class, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Look up `batch["labels"]`, a sequence of B integers. Those on another device than the CPU are not checked."""
        return self._look_up(self._checked(require_key(batch, "labels", "class_label")).to(self.device()))

    def as_tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch with "labels" as a tensor of B integers on the CPU.

        Raises:
            ValueError: there are none, or one is outside [0, classes).
        """
        return {**batch, "labels": self._checked(require_key(batch, "labels", "class_label"))}

    def batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """What `forward` reads, for prompts that are class numbers, as "3".

        Raises:
            ValueError: a prompt is no class number.
        """
        for prompt in prompts:
            if not prompt.isascii() or not prompt.isdigit():
                raise ValueError(f"prompt '{prompt}': this model reads class numbers, for example: ldmlab sample 3 7")
        return {"labels": [int(prompt) for prompt in prompts]}

    def null(self, n: int) -> Conditioning:
        """n times the row "no class", which follows that of the last class.

        Raises:
            ValueError: the table has no such row.
        """
        if not self.null_class:
            raise ValueError(
                "guidance: the model's table has no row for 'no class' to lead away from; use guidance=none"
            )
        return self._look_up(torch.full((n,), self.classes, device=self.device()))

    def _checked(self, labels: Tensor | Sequence[int]) -> Int[Tensor, " B"]:
        if isinstance(labels, Tensor) and labels.device.type != "cpu":
            return labels
        numbers = labels.tolist() if isinstance(labels, Tensor) else list(labels)
        if not all(0 <= number < self.classes for number in numbers):
            raise ValueError(
                f"a class label lies outside [0, {self.classes}): {numbers}; set conditioner.classes to the data's"
            )
        return torch.as_tensor(labels)

    def _look_up(self, labels: Tensor) -> Conditioning:
        rows = self.table(labels)
        return Conditioning(context=rows[:, None]) if self.as_context else Conditioning(vector=rows)
