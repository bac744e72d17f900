"""Holes filled without a model: what an encoder is shown in place of unknown pixels, and what to compare with.

Shapes: fH x fW pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def mean_fill(image: UInt8[Tensor, "3 fH fW"], mask: Bool[Tensor, "fH fW"]) -> UInt8[Tensor, "3 fH fW"]:
    """The mean colour of the known pixels, wherever `mask` is True."""
    mean = image[:, ~mask].float().mean(dim=1).round().to(torch.uint8)
    return torch.where(mask, mean[:, None, None], image)


def harmonic_fill(image: UInt8[Tensor, "3 fH fW"], mask: Bool[Tensor, "fH fW"]) -> UInt8[Tensor, "3 fH fW"]:
    """The smoothest surface from rim to rim: each pixel of the hole is the mean of its neighbours in the picture.

    A hole at the picture's edge runs level into it. At least one pixel must be known.
    """
    from scipy.sparse.linalg import splu

    hole = mask.cpu().numpy()
    if not hole.any():
        return image.clone()
    pixels = image.permute(1, 2, 0).cpu().numpy().astype(np.float64)
    matrix, known = _laplace(hole, pixels)
    filled = image.clone()
    solution = torch.from_numpy(splu(matrix.tocsc()).solve(known)).round().clamp(0, 255).to(torch.uint8)
    filled[:, mask] = solution.T.to(image.device)
    return filled


def _laplace(hole: np.ndarray, pixels: np.ndarray) -> tuple[csr_matrix, np.ndarray]:
    """The equations of the hole's U pixels: (U, U) for their neighbours inside, (U, 3) the sums of those known."""
    from scipy.sparse import csr_matrix

    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    rows, columns = np.nonzero(hole)
    degree, known = np.zeros(len(rows)), np.zeros((len(rows), 3))
    entries: list[tuple[np.ndarray, np.ndarray]] = []
    for down, right in NEIGHBOURS:
        y, x = rows + down, columns + right
        here = (y >= 0) & (y < hole.shape[0]) & (x >= 0) & (x < hole.shape[1])
        degree += here
        index, y, x = np.nonzero(here)[0], y[here], x[here]
        free = hole[y, x]
        np.add.at(known, index[~free], pixels[y[~free], x[~free]])
        entries.append((index[free], number[y[free], x[free]]))
    own = np.arange(len(rows))
    i, j = (np.concatenate([own, *side]) for side in zip(*entries, strict=True))
    values = np.concatenate([degree, np.full(len(i) - len(own), -1.0)])
    return csr_matrix((values, (i, j)), shape=(len(own), len(own))), known
