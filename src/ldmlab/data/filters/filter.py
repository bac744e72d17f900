"""Which samples are taken: an expression, and what becomes of samples that lack what it asks for."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ldmlab.data.filters.expression import Expression, Part, parse
from ldmlab.data.filters.fields import instead_of, sources_of
from ldmlab.data.filters.record_rows import RecordRows
from ldmlab.data.filters.rows import Bits, Rows

Missing = Literal["drop", "keep", "refuse"]


@dataclass(frozen=True)
class Filter:
    """Takes the samples that meet an expression, as `original_width >= 512 and aesthetic > 5`.

    Names are the keys of samples' json; docs/data.md says what else an expression may hold.

    Args:
        where: the expression.
        missing: what becomes of a sample of which a condition cannot be decided, because it lacks a score: "drop"
            leaves it out, "keep" takes it as if it met that condition, "refuse" raises a ValueError.

    Raises:
        ValueError: it is no expression, or `missing` is something else.
    """

    where: str
    missing: Missing = "drop"

    def __post_init__(self) -> None:
        """Refuse what cannot be read."""
        if self.missing not in get_args(Missing):
            raise ValueError(f"filter.missing={self.missing}: choose one of {', '.join(get_args(Missing))}")
        parse(self.where)

    @property
    def expression(self) -> Expression:
        """The expression, read."""
        return parse(self.where)

    def __str__(self) -> str:
        """The same for filters that keep the same samples of all data."""
        return self.expression.text + ("" if self.missing == "drop" else f" (missing={self.missing})")

    def plain(self) -> dict[str, str]:
        """What a checkpoint remembers of it."""
        return {"filter": self.expression.text, "missing": self.missing}

    @property
    def overrides(self) -> str:
        """The settings of the command line that choose it."""
        missing = "" if self.missing == "drop" else f" filter.missing={self.missing}"
        return shlex.quote(f"filter={self.expression.text}") + missing

    def require_fields(self, known: Collection[str], where: str) -> None:
        """Refuse a field that no sample has.

        Args:
            known: the fields that some have.
            where: who it is that has none, for the message.

        Raises:
            ValueError: naming the field, and the nearest one.
        """
        for name in self.expression.fields:
            if not sources_of(name, known):
                raise ValueError(f"filter={self}: {where} has '{name}'; {instead_of(name, known)}")

    def meets(self, part: Part, rows: Rows) -> tuple[Bits, Bits]:
        """Which of N samples meet one condition, and of which it is not known: (N,) each.

        What is not known counts as `missing` says; it is the caller who refuses.
        """
        yes, known = part.holds(rows)
        return (yes | ~known if self.missing == "keep" else yes), ~known

    def keeps(self, meta: Mapping[str, Any], caption: str = "", size: tuple[int, int] | None = None) -> bool:
        """Whether a single sample is taken, as in a stream.

        Args:
            meta: its json.
            caption: "" for none.
            size: of its picture, (W, H) in pixels, where it is known.

        Raises:
            ValueError: it lacks what is asked for, and such samples are refused.
        """
        rows = RecordRows(meta, caption, size)
        for part in self.expression.parts:
            met, unknown = self.meets(part, rows)
            if self.missing == "refuse" and unknown[0]:
                raise ValueError(f"filter.missing=refuse: {refusal(part)}")
            if not met[0]:
                return False
        return True


def refusal(part: Part) -> str:
    """The rest of a line about a sample of which a condition cannot be decided."""
    return f"'{part.text}' cannot be decided; filter.missing=drop leaves such samples out, keep takes them"
