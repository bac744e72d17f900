"""How an autoencoder with a codebook uses its codes. Shapes: K codes."""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor

from ldmlab.autoencoders.codebook import perplexity
from ldmlab.metrics.base import Metric


class CodeUse(Metric):
    """Perplexity of the codes that a set of images takes, and the share of all codes that is among them.

    Nothing is told of an autoencoder without a codebook.
    """

    use: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("use")

    def update(self, code_counts: Int[Tensor, " K"] | None = None) -> None:
        """Take in how often a batch took each code."""
        if code_counts is not None:
            self.use = self.use + code_counts

    def compute(self) -> dict[str, float]:
        """The perplexity of the codes' use, and the share of codes that were used; none without a codebook."""
        if not self.use.ndim:
            return {}
        return {"perplexity": float(perplexity(self.use)), "used_codes": float((self.use > 0).float().mean())}
