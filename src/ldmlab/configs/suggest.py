"""The nearest right word for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like a word, or None where none is alike.

    Options are dotted keys as well: a key whose last part is the word counts as alike, so `steps` finds
    `sampler.steps`.
    """
    known = list(options)
    return _best(word, {option: option for option in known}, 0.6) or _best(
        word.rpartition(".")[2], {option.rpartition(".")[2]: option for option in reversed(known)}, 0.7
    )


def hint(word: str, options: Iterable[str]) -> str:
    """Return the end of an error line: the nearest option, or all of them where none is near and they are few."""
    known = sorted(options)
    found = nearest(word, known)
    if found is not None:
        return f"; did you mean '{found}'?"
    return f"; choose one of {', '.join(known)}" if 0 < len(known) <= 12 else ""


def _best(word: str, names: Mapping[str, str], threshold: float) -> str | None:
    """The value of the name most like a word. Among equals, one with the same letters swapped is nearer."""
    scores = {name: (_likeness(word, name), _likeness(sorted(word), sorted(name))) for name in names}
    best = max(scores, key=lambda name: scores[name], default=None)
    return names[best] if best is not None and scores[best][0] >= threshold else None


def _likeness(one: Sequence[str], other: Sequence[str]) -> float:
    return SequenceMatcher(None, one, other).ratio()
