"""How often, and how seen, a cache holds each sample: as it is, mirrored, and in crops that were drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from ldmlab.data.order.views import View


@dataclass(frozen=True)
class Variants:
    """The looks at each of N samples, of which look v at sample i has number v N + i.

    Attributes:
        samples: N.
        mirrored: whether each is there left for right, too.
        crops: how many crops there are of each, at places that its row decides; 1 is the one in the centre.
        size: (height, width) in pixels; None for the dataset's own.
    """

    samples: int
    mirrored: bool = False
    crops: int = 1
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return self.samples * self.crops * (2 if self.mirrored else 1)

    def view(self, number: int) -> View:
        """Return what is to be encoded under a number."""
        look, row = divmod(number, self.samples)
        crop, mirrored = divmod(look, 2) if self.mirrored else (look, 0)
        down, across = _place(row, crop) if self.crops > 1 else (0.5, 0.5)
        return View(row, bool(mirrored), down, across, self.size)

    def number(self, view: View) -> int:
        """Return the number of what stands for a view: of K crops, that of the K-th part of the room its own is in."""
        crop = min(int(view.down * self.crops), self.crops - 1)
        look = 2 * crop + view.mirrored if self.mirrored else crop
        return look * self.samples + view.row


def _place(row: int, crop: int) -> tuple[float, float]:
    """Where a crop lies, down and across, uniform in [0, 1): of the arguments alone."""
    digest = blake2b(f"{row}/{crop}".encode(), digest_size=16).digest()
    down, across = (int.from_bytes(digest[first : first + 8], "big") >> 11 for first in (0, 8))
    return down * 2.0**-53, across * 2.0**-53
