"""How an autoencoder with a codebook uses its codes. Shapes: B images, K codes, G groups of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ldmlab.autoencoders.codebook import perplexity
from ldmlab.metrics.base import Metric
from ldmlab.metrics.standard_errors import jackknife_error

GROUPS = 20
"""Of images, for standard errors: the codes of an image go together, so whole images are left out."""


class CodeUse(Metric):
    """Perplexity of the codes that a set of images takes, and the share of all codes that is among them.

    Nothing is told of an autoencoder without a codebook.
    """

    higher_is_better = True
    use: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("use", [], dist_reduce_fx="cat")

    def update(self, numbers: Sequence[int], code_counts: Int[Tensor, "B K"] | None = None) -> None:
        """Take in how often each image of a batch took each code."""
        if code_counts is not None:
            groups = torch.tensor(numbers) * GROUPS // self.announced.count
            self.use.append(torch.cat([groups[:, None], code_counts.cpu()], dim=1).double())
            self._merge()

    def join(self, states: Mapping[str, Tensor]) -> None:
        """Take in what later batches have left."""
        super().join(states)
        self._merge()

    def compute(self) -> dict[str, float]:
        """The perplexity of the codes' use, and the share of codes that were used; none without a codebook."""
        return {name: figure(torch.cat(self.use)[:, 1:].sum(dim=0)) for name, figure in FIGURES.items() if self.use}

    def errors(self) -> dict[str, float]:
        """By the jackknife over groups of images; that of the share is never too small (Efron and Stein 1981)."""
        if not self.use:
            return {}
        groups = torch.cat(self.use)[:, 1:]
        rest = groups.sum(dim=0) - groups
        return {name: jackknife_error([figure(each) for each in rest]) for name, figure in FIGURES.items()}

    def _merge(self) -> None:
        """Keep one line a group, which is its number and how often each code was taken."""
        if self.use:
            lines = torch.cat(self.use)
            groups, place = lines[:, 0].unique(return_inverse=True)
            use = lines.new_zeros(len(groups), lines.shape[1] - 1).index_add_(0, place, lines[:, 1:])
            self.use = [torch.cat([groups[:, None], use], dim=1)]


def used_share(use: Float[Tensor, " K"]) -> float:
    """The share of codes that were taken at all."""
    return float((use > 0).double().mean())


FIGURES: dict[str, Callable[[Tensor], float]] = {
    "perplexity": lambda use: float(perplexity(use)),
    "used_codes": used_share,
}
