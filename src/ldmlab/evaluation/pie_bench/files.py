"""The pictures of a measurement on PIE-Bench as files, from which anybody can measure again.

Shapes: S x S pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.evaluation.pie_bench.edits import Given
from ldmlab.evaluation.pie_bench.folder import PieCase
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.png import write_png

GIVEN, MASK = "given", "mask"


@dataclass(frozen=True)
class PieFiles:
    """A folder with a folder for each method, and one for the given pictures and one for the masks at their size.

    Attributes:
        folder: the folder.
        settings: plain JSON data that each edited picture carries.
    """

    folder: Path
    settings: Mapping[str, Any]

    def write(self, method: str, case: PieCase, after: UInt8[Tensor, "3 S S"], what: Given) -> None:
        """Write an edited picture as METHOD/KEY.png, and beside it given/KEY.png and mask/KEY.png, white inside."""
        said = {"prompt": case.target, "source": case.source, "method": method, **self.settings}
        self._write(method, case, after, said)
        for name, picture in ((GIVEN, what.picture), (MASK, what.mask[None].expand(3, -1, -1).byte() * 255)):
            if not self._path(name, case).is_file():
                self._write(name, case, picture)

    def _write(self, name: str, case: PieCase, picture: Tensor, said: Mapping[str, Any] | None = None) -> None:
        path = self._path(name, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, to_pil(picture), said)

    def _path(self, name: str, case: PieCase) -> Path:
        return self.folder / _plain(name) / f"{_plain(case.key)}.png"


def _plain(name: str) -> str:
    """A name as that of a file, whatever it holds."""
    return re.sub(r"[^\w.=-]+", "_", name).lstrip(".") or "_"
