"""Which samples of a table have what is read of them, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.index.sample_table import FLAWS, SampleTable
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem, summarise
from ldmlab.data.shards.labels import NONE
from ldmlab.data.shards.shard_folder import REMEDY


def fit_rows(table: SampleTable, needs: Needs) -> NDArray[np.int64]:
    """Return the rows of the samples that have what is needed."""
    fit = np.ones(len(table), np.bool)
    if needs.captions:
        fit &= np.diff(table.captions.ends, prepend=0) > 0
    if needs.classes is not None:
        fit &= (table.labels != NONE) & (table.labels < needs.classes)
    return np.flatnonzero(fit)


def flaws(table: SampleTable, shards: NDArray[np.int64], names: Sequence[str], needs: Needs) -> Iterator[Problem]:
    """Yield what is wrong with captions and labels, where they are needed.

    Args:
        table: of all samples.
        shards: (N,) the number of each sample's shard.
        names: of the shards.
        needs: what every sample must have.
    """

    def problem(row: int, defect: Defect, detail: str = "") -> Problem:
        return Problem(defect, names[shards[row]], table.keys[row], detail)

    for needed, found in ((needs.captions, table.caption_flaws), (needs.classes is not None, table.label_flaws)):
        for row in np.flatnonzero(found).tolist() if needed else ():
            yield problem(row, FLAWS[found[row] - 1])
    if needs.classes is not None:
        for row in np.flatnonzero(table.labels >= needs.classes).tolist():
            yield problem(row, Defect.NO_CLASS, f"label {table.labels[row]} of {needs.classes} classes")


def why_nothing_fits(root: Path, table: SampleTable, problems: Sequence[Problem], needs: Needs) -> str:
    """Return what to do about a folder of which no sample fits."""
    if needs.captions and (table.caption_flaws == FLAWS.index(Defect.MISSING_CAPTION) + 1).all():
        return (
            f"the shards in {root} have no captions (KEY.txt beside KEY.jpg): {REMEDY}; or choose a conditioner that"
            " reads none, such as class_label or none"
        )
    if needs.classes is not None and (table.label_flaws == FLAWS.index(Defect.MISSING_LABEL) + 1).all():
        return (
            f"the shards in {root} have no labels (KEY.cls, or `label` in KEY.json, with the number of the class): add"
            " them, or choose another conditioner"
        )
    return f"the shards in {root} have no usable sample ({summarise(problems)}): {REMEDY}"
