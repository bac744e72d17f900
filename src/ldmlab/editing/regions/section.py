"""Pictures of any size before a model of one size: the windows that have to be drawn, and the pixels under them.

A canvas is the picture on whole latents, no smaller than the model's own grid. A section is the rectangle of it that
the windows over a mask span; what lies outside is neither encoded nor drawn nor decoded.

Shapes: N pictures, fH x fW their pixels, sH x sW those of the section, f the autoencoder's factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from ldmlab.editing.regions.composite import latent_mask
from ldmlab.editing.regions.windows import OVERLAP, Window, windows_over
from ldmlab.models.latent_diffusion import LatentDiffusion

MOST_PIXELS = 2**22
"""In a section; what it takes to encode and decode one grows with them."""


@dataclass(frozen=True)
class Section:
    """The rectangle of a canvas that is encoded, drawn and decoded, because the windows over a mask span it.

    Attributes:
        size: rows and columns of the picture, in pixels.
        corner: row and column of the section's first pixel in the picture; below 0 where the canvas is larger.
        shape: sH and sW.
        windows: those that are drawn, in latents of the section.
        of: how many windows cover the whole canvas.
        factor: f.
    """

    size: tuple[int, int]
    corner: tuple[int, int]
    shape: tuple[int, int]
    windows: Sequence[Window]
    of: int
    factor: int

    def cut(self, pictures: UInt8[Tensor, "N 3 fH fW"]) -> UInt8[Tensor, "N 3 sH sW"]:
        """The pixels of the section; beyond the picture's edge those at the edge."""
        rows, columns = self._places()
        return pictures[..., rows[:, None], columns]

    def cut_mask(self, mask: Bool[Tensor, "*N fH fW"]) -> Bool[Tensor, "*N sH sW"]:
        """The mask over the section's pixels; True, so free to be drawn, in cells that hold nothing of the picture."""
        rows, columns = self._places()
        free = [self._beyond(axis) for axis in (0, 1)]
        return mask[..., rows[:, None], columns] | free[0][:, None] | free[1]

    def put_back(
        self, drawn: UInt8[Tensor, "N 3 sH sW"], pictures: UInt8[Tensor, "#N 3 fH fW"]
    ) -> UInt8[Tensor, "N 3 fH fW"]:
        """The whole pictures, with the section in place."""
        whole = pictures.expand(len(drawn), -1, -1, -1).clone()
        starts = [max(0, first) for first in self.corner]
        ends = [min(side, first + long) for side, first, long in zip(self.size, self.corner, self.shape, strict=True)]
        inner = [slice(a - first, b - first) for a, b, first in zip(starts, ends, self.corner, strict=True)]
        whole[..., starts[0] : ends[0], starts[1] : ends[1]] = drawn[..., inner[0], inner[1]]
        return whole

    def _places(self) -> list[Int[Tensor, " s"]]:
        """The row and the column of the picture that each of the section's shows."""
        return [
            (first + torch.arange(long)).clamp(0, side - 1)
            for first, long, side in zip(self.corner, self.shape, self.size, strict=True)
        ]

    def _beyond(self, axis: int) -> Bool[Tensor, " s"]:
        cells = (self.corner[axis] + torch.arange(self.shape[axis])).div(self.factor, rounding_mode="floor")
        return (cells < 0) | (cells * self.factor >= self.size[axis])


def section(
    model: LatentDiffusion, size: Sequence[int], mask: Bool[Tensor, "*N fH fW"] | None, overlap: float | None
) -> Section:
    """The smallest rectangle of windows that holds all that a mask marks, with what is around its rim in view.

    Args:
        model: the parts.
        size: rows and columns of the pictures, in pixels.
        mask: True where they may change; None for everywhere.
        overlap: least share of a window's side that it has in common with its neighbour; None for the usual one.

    Raises:
        ValueError: an overlap is given and there is a single window; or the section has more than `MOST_PIXELS`.
    """
    factor, window = model.autoencoder.factor, model.latent_shape[1:]
    covering = [-(-side // factor) for side in size]
    canvas = [max(cells, least) for cells, least in zip(covering, window, strict=True)]
    before = [(cells - own) // 2 for cells, own in zip(canvas, covering, strict=True)]
    windows = windows_over(canvas, window, OVERLAP if overlap is None else overlap)
    if overlap is not None and len(windows) == 1:
        raise ValueError(
            f"overlap={overlap}: a picture of [{size[0]},{size[1]}] pixels has a single window, the model's own; "
            "leave it out"
        )
    wanted = windows if mask is None else _over(windows, _near(mask, factor, before, canvas))
    first = [min(each[axis].start for each in wanted) for axis in (0, 1)]
    last = [max(each[axis].stop for each in wanted) for axis in (0, 1)]
    shape = ((last[0] - first[0]) * factor, (last[1] - first[1]) * factor)
    _check_pixels(size, shape, mask is not None)
    return Section(
        size=(size[0], size[1]),
        corner=((first[0] - before[0]) * factor, (first[1] - before[1]) * factor),
        shape=shape,
        windows=[(_moved(rows, first[0]), _moved(columns, first[1])) for rows, columns in wanted],
        of=len(windows),
        factor=factor,
    )


def _near(
    mask: Bool[Tensor, "*N fH fW"], factor: int, before: Sequence[int], canvas: Sequence[int]
) -> Bool[Tensor, "H W"]:
    """The cells of the canvas that some mask marks, and their neighbours."""
    rows, columns = mask.shape[-2:]
    pixels = mask.reshape(-1, rows, columns).any(dim=0)
    whole = F.pad(pixels, (0, -columns % factor, 0, -rows % factor))
    cells = F.max_pool2d(latent_mask(whole, factor).float(), 3, stride=1, padding=1)[0, 0] > 0
    near = torch.zeros(*canvas, dtype=torch.bool)
    near[before[0] : before[0] + cells.shape[0], before[1] : before[1] + cells.shape[1]] = cells
    return near


def _over(windows: Sequence[Window], cells: Bool[Tensor, "H W"]) -> list[Window]:
    return [window for window in windows if bool(cells[window].any())]


def _moved(side: slice, by: int) -> slice:
    return slice(side.start - by, side.stop - by)


def _check_pixels(size: Sequence[int], shape: Sequence[int], masked: bool) -> None:
    pixels = shape[0] * shape[1]
    if pixels > MOST_PIXELS:
        remedy = "scale it down, or mark a smaller place" if masked else "scale it down"
        raise ValueError(
            f"a picture of [{size[0]},{size[1]}] pixels: the windows to draw span {pixels:,}, and at most "
            f"{MOST_PIXELS:,} are drawn at once; {remedy}"
        )
