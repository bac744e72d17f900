"""Holes filled without a model: what an encoder is shown in place of unknown pixels, and what to compare with.

Shapes: fH x fW pixels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

EXACT = 2**14
SWEEPS = 8
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def mean_fill(image: UInt8[Tensor, "3 fH fW"], mask: Bool[Tensor, "fH fW"]) -> UInt8[Tensor, "3 fH fW"]:
    """The mean colour of the known pixels, wherever `mask` is True."""
    mean = image[:, ~mask].float().mean(dim=1).round().to(torch.uint8)
    return torch.where(mask, mean[:, None, None], image)


def harmonic_fill(image: UInt8[Tensor, "3 fH fW"], mask: Bool[Tensor, "fH fW"]) -> UInt8[Tensor, "3 fH fW"]:
    """The smoothest surface from rim to rim: each pixel of the hole is the mean of its neighbours in the picture.

    A hole at the picture's edge runs level into it. At least one pixel must be known. Holes of more than `EXACT` pixels
    are nearly as smooth, for much less time and memory.
    """
    from scipy.sparse.linalg import splu

    hole = mask.cpu().numpy()
    if not hole.any():
        return image.clone()
    if hole.sum() > EXACT:
        return _coarse_to_fine(image, mask)
    pixels = image.permute(1, 2, 0).cpu().numpy().astype(np.float64)
    matrix, known = _laplace(hole, pixels)
    filled = image.clone()
    solution = torch.from_numpy(splu(matrix.tocsc()).solve(known)).round().clamp(0, 255).to(torch.uint8)
    filled[:, mask] = solution.T.to(image.device)
    return filled


def _coarse_to_fine(image: UInt8[Tensor, "3 fH fW"], mask: Bool[Tensor, "fH fW"]) -> UInt8[Tensor, "3 fH fW"]:
    """The surface of the picture at half its size, enlarged and made smooth at the rim."""
    halve = partial(F.avg_pool2d, kernel_size=2, ceil_mode=True)
    weight = halve((~mask).float()[None])
    known = halve(image.float() * ~mask) / weight.clamp(min=0.25)
    coarse = harmonic_fill(known.round().to(torch.uint8), weight[0] == 0).float()
    surface = F.interpolate(coarse[None], scale_factor=2, mode="bilinear")[0, :, : image.shape[1], : image.shape[2]]
    for _ in range(SWEEPS):
        surface = torch.where(mask, surface, image)
        surface = F.avg_pool2d(F.pad(surface, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.where(mask, surface.round().to(torch.uint8), image)


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
    diagonal = np.arange(len(rows))
    i, j = (np.concatenate([diagonal, *side]) for side in zip(*entries, strict=True))
    values = np.concatenate([degree, np.full(len(i) - len(diagonal), -1.0)])
    return csr_matrix((values, (i, j)), shape=(len(diagonal), len(diagonal))), known
