"""Judges edits of drawn scenes: is the change there, is the rest as it was?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from ldmlab.worlds.shapes.scene_edits import SceneEdit
from ldmlab.worlds.shapes.segment import WORKING_SIZE, segment
from ldmlab.worlds.shapes.verifier import Seen, SeenObject, look, match, verify

STAYS = 0.1
"""An object that moved less than this (fraction of the side) is where it was."""
MARGIN = 3
"""Pixels (of a picture of `WORKING_SIZE`) around an object that count as its own: the autoencoder blurs its edge."""
COVERED = 0.1
KINDS = ("shape", "colour", "size")


@dataclass(frozen=True)
class Verdict:
    """What became of one edit.

    Attributes:
        reached: the edited object shows what was wanted.
        unchanged: whatever else the verifier reads is as before: the object's other attributes and place, the other
            object, their number, the background.
        outside: mean absolute difference (0 to 255) of the pixels outside the object, before and after.
    """

    reached: bool
    unchanged: bool
    outside: float


def judgeable(edit: SceneEdit, before: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether a picture shows what the edit starts from, and not yet what it should become."""
    seen = look(before)
    if not all(verify(seen, edit.asked).values()):
        return False
    return edit.wanted is None or getattr(_edited(edit, seen), edit.attribute) != edit.wanted


def place_of(edit: SceneEdit, before: UInt8[np.ndarray, "S S 3"]) -> Bool[np.ndarray, "S S"]:
    """The pixels of the object that is to be edited, and a margin; the mask for masked methods."""
    seen = look(before)
    return _grown(_covered(before, seen, _edited(edit, seen)))


def judge(edit: SceneEdit, before: UInt8[np.ndarray, "S S 3"], after: UInt8[np.ndarray, "S S 3"]) -> Verdict:
    """Compare pictures of `WORKING_SIZE` before and after an edit.

    Args:
        edit: what was asked for.
        before: a picture that is `judgeable`.
        after: the edited picture.
    """
    was, seen = look(before), look(after)
    item = _edited(edit, was)
    found = {old: new for old, new in _same_places(was, seen)}
    new, others = found.get(item), [old for old in was.objects if old is not item]
    wanted_count = len(was.objects) - (edit.wanted is None)
    kept = all(found.get(old) is not None and _alike(old, found[old], KINDS) for old in others)
    if edit.wanted is None:
        reached = new is None and len(seen.objects) == wanted_count
        unchanged = kept and seen.background == was.background
    else:
        reached = new is not None and getattr(new, edit.attribute) == edit.wanted
        rest = tuple(kind for kind in KINDS if kind != edit.attribute)
        unchanged = kept and seen.background == was.background and new is not None and _alike(item, new, rest)
        unchanged = unchanged and len(seen.objects) == wanted_count
    inside = _covered(before, was, item)
    if new is not None:
        inside = inside | _covered(after, seen, new)
    return Verdict(reached, unchanged, _difference(before, after, ~_grown(inside)))


def _edited(edit: SceneEdit, seen: Seen) -> SeenObject:
    found = match(seen, edit.asked)
    if found is None:
        raise ValueError(f"the picture does not show '{edit.source}', so the edit has no object; see `judgeable`")
    return found[edit.item]


def _same_places(was: Seen, seen: Seen) -> list[tuple[SeenObject, SeenObject]]:
    """Pairs of objects before and after, nearest first, as far as they stand where they stood."""
    away = [
        (math.hypot(a.x - b.x, a.y - b.y), i, j) for i, a in enumerate(was.objects) for j, b in enumerate(seen.objects)
    ]
    pairs: list[tuple[int, int]] = []
    for distance, i, j in sorted(away):
        if distance <= STAYS and all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return [(was.objects[i], seen.objects[j]) for i, j in pairs]


def _distance(one: SeenObject, other: SeenObject) -> float:
    return math.hypot(one.x - other.x, one.y - other.y)


def _alike(one: SeenObject, other: SeenObject | None, kinds: tuple[str, ...]) -> bool:
    return other is not None and all(getattr(one, kind) == getattr(other, kind) for kind in kinds)


def _covered(image: UInt8[np.ndarray, "S S 3"], seen: Seen, item: SeenObject) -> Bool[np.ndarray, "S S"]:
    _, layers = segment(image)
    return layers[seen.objects.index(item)].coverage > COVERED


def _grown(inside: Bool[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(inside, iterations=MARGIN))


def _difference(before: np.ndarray, after: np.ndarray, where: Bool[np.ndarray, "S S"]) -> float:
    if before.shape[:2] != (WORKING_SIZE, WORKING_SIZE):
        raise ValueError(f"pictures of {before.shape[:2]}: edits are judged at {WORKING_SIZE} x {WORKING_SIZE} pixels")
    return float(np.abs(before.astype(float) - after.astype(float))[where].mean())
