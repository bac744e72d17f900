"""Which of PIE-Bench's edits are made, which are shown, and whether they can be made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ldmlab.evaluation.pie_bench.folder import PieCase
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.pictures.reading import read_picture

ON_SHEET = 10
"""Edits that are kept to be looked at."""


def with_change(cases: Sequence[PieCase]) -> tuple[list[PieCase], list[str]]:
    """The edits whose two prompts differ, and a remark on those that are left out.

    Raises:
        ValueError: there is none.
    """
    same = [case for case in cases if case.source.casefold().split() == case.target.casefold().split()]
    kept = [case for case in cases if case not in same]
    if not kept:
        raise ValueError(f"path: in all {len(same)} edits both prompts say the same, so nothing is to be changed")
    told = f"{len(same)} edits are left out, whose two prompts say the same: {', '.join(case.key for case in same)}"
    return kept, [told] if same else []


def require_readable(cases: Sequence[PieCase]) -> None:
    """Look at all pictures and masks before hours are spent on some of them.

    Raises:
        ValueError: a file is no picture, or a mask does not fit it.
    """
    for case in cases:
        picture = read_picture(str(case.picture), case.key)
        case.mask(*picture.shape[-2:])


def require_prompts(model: LatentDiffusion, cases: Sequence[PieCase], ckpt: str | None) -> None:
    """Refuse a model that reads no prompts, and prompts that it cannot read.

    Raises:
        ValueError: naming the model, or the edit.
    """
    if "captions" not in model.conditioner.reads:
        raise ValueError(f"ckpt={ckpt}: this model reads no prompts, by which PIE-Bench edits; give one that does")
    for case in cases:
        try:
            model.conditioner.batch([case.source, case.target])
        except ValueError as error:
            raise ValueError(f"{case.key}: {error}") from error


def shown_of(cases: Sequence[PieCase]) -> list[int]:
    """The numbers of edits to look at: the first of each category, then the second, as long as there is room."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        groups[case.category].append(number)
    turns = sorted((place, number) for members in groups.values() for place, number in enumerate(members))
    return sorted(number for _, number in turns[:ON_SHEET])
