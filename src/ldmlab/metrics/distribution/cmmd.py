"""The distance of CLIP's embeddings by a kernel. Shapes: N pictures, M held-out ones, B of a batch, F features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.metrics.distribution.kept_features import KeptFeatures

SIGMA, SCALE = 10, 1000
ROWS, COLUMNS = 1024, 4096
"""Of the kernel that are computed at once."""


class CMMD(KeptFeatures):
    """The squared maximum mean discrepancy of embeddings of length 1 under a Gaussian kernel of width 10, times 1000.

    Jayasumana et al., "Rethinking FID: Towards a Better Evaluation Metric for Image Generation" (2024), with the
    estimate of their code, in which each picture meets itself, too; published figures are of CLIP ViT-L/14 at 336
    pixels. It assumes no Gaussian and hardly depends on N. The embeddings are kept, in float32; of the N x N values of
    the kernel a block is kept at a time.

    Args:
        extractor: of embeddings; None for the network that is chosen for all metrics.
    """

    higher_is_better = False

    def compute(self) -> dict[str, float]:
        """The distance, 0 for equal sets.

        Raises:
            ValueError: a side without images, or features of two extractors.
        """
        real, fake = map(_units, self.pair())
        within, across = kernel_means(fake, fake), kernel_means(fake, real)
        self._influence = within - across
        distance = within.mean() + kernel_means(real, real).mean() - 2 * across.mean()
        return {self._label: SCALE * float(distance)}

    def errors(self) -> dict[str, float]:
        """The standard error over the model's pictures, from the influence of each of them on the distance."""
        self.compute()
        return {self._label: 2 * SCALE * float(self._influence.std()) / len(self._influence) ** 0.5}

    @property
    def _label(self) -> str:
        return f"CMMD{self.announced.suffix}"


def kernel_means(some: Float[Tensor, "N F"], others: Float[Tensor, "M F"]) -> Float[Tensor, " N"]:
    """The mean of the kernel, less 1, of each of N vectors of length 1 with M others."""
    sums = [
        torch.stack([_kernel(rows, columns).sum(dim=1) for columns in others.split(COLUMNS)]).sum(dim=0)
        for rows in some.split(ROWS)
    ]
    return torch.cat(sums) / len(others)


def _kernel(some: Tensor, others: Tensor) -> Tensor:
    """exp(-|x - y|^2 / (2 sigma^2)) - 1, in which vectors of length 1 have |x - y|^2 = 2 - 2 x.y.

    The distance is the same without the 1, which is most of the kernel's value, and has more digits.
    """
    return ((some @ others.T - 1) / SIGMA**2).expm1()


def _units(features: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
    return torch.nn.functional.normalize(features.double(), dim=1)
