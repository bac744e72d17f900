"""Uncropping: a given picture on a larger canvas of any aspect, whose rest is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.demands import require_size, title
from ldmlab.editing.methods.inpaint import filled
from ldmlab.editing.regions.canvas import check_place, on_canvas
from ldmlab.editing.regions.composite import check_feather
from ldmlab.editing.regions.redraw import Redraw
from ldmlab.editing.regions.windows import check_overlap


class Uncrop(EditMethod):
    """Inpainting of everything around a picture, in overlapping windows. Reads `image` and `target`.

    Args:
        canvas: rows and columns in pixels: multiples of the autoencoder's factor, no fewer than the model's own.
        place: where the picture lies, as "centre", or the row and the column of its first pixel.
        resample: times that each stretch of steps is made; 1 never jumps back.
        jump: steps of a stretch.
        feather: width in pixels, inside the mask, over which the drawn picture passes into the known one.
        overlap: least share of a side that windows have in common, where a canvas is larger than the model's own.

    Raises:
        ValueError: a setting is out of its range.
    """

    needs = frozenset({"image"})
    takes = frozenset({"target"})
    keeps_size = True

    def __init__(
        self,
        canvas: Sequence[int],
        place: str | Sequence[int] = "centre",
        resample: int = 5,
        jump: int = 5,
        feather: int = 0,
        overlap: float | None = None,
    ) -> None:
        if len(canvas) != 2:
            raise ValueError(f"canvas={list(canvas)}: give [ROWS,COLUMNS] in pixels, for example canvas=[64,96]")
        check_place(place)
        check_feather(feather)
        check_overlap(overlap)
        self.canvas = (canvas[0], canvas[1])
        self.place = place
        self.settings = Redraw(resample, jump)
        self.feather = feather
        self.overlap = overlap

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`; the image is of any size that the canvas holds."""
        require_size(task.model, self.canvas, "canvas")
        picture, mask = on_canvas(task.picture, self.canvas, self.place)
        after, note = filled(task, picture, mask, self.settings, self.feather, self.overlap)
        return Edited(SheetRow("image", picture[None]), [SheetRow(title(task), after)], [note])
