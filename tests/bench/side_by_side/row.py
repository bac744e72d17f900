"""What was measured of one piece of work, and how that is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        section: the table.
        work: what was done, for example "DiT-XL/2, batch 64".
        how: for example "bf16, compiled by block".
        figures: median seconds of a call, by who made it, or shares; the first is compared with the second.
        ratio: the first's time over the second's, if there are two.
        unit: what `told` makes of a time: "ms", "images/s", "s a picture", "TFLOP/s" or "%".
        pictures: of one call.
        flops: of one call; None where they are not counted.
        rate: of bf16 matrix products on this machine, FLOP/s; what shares are of.
        notes: what did not run, and why.
    """

    section: str
    work: str
    how: str
    figures: Mapping[str, float] = field(default_factory=dict)
    ratio: float | None = None
    unit: str = "ms"
    pictures: int = 1
    flops: float | None = None
    rate: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later measurement of the same replaces."""
        return self.section, self.work, self.how

    def told(self, who: str) -> str:
        """A contender's figure, with its share of the machine's rate."""
        if who not in self.figures:
            return "-"
        seconds = self.figures[who]
        if self.unit == "%":
            return f"{100 * seconds:.1f}"
        value = {
            "ms": 1e3 * seconds,
            "images/s": self.pictures / seconds,
            "s a picture": seconds / self.pictures,
            "TFLOP/s": (self.flops or 0) / seconds / 1e12,
        }
        share = (
            f" ({self.flops / seconds / self.rate:.0%})" if self.flops and self.rate and self.unit != "TFLOP/s" else ""
        )
        return f"{value[self.unit]:.4g}{share}"

    def as_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Row:
        """See `as_json`."""
        return Row(**{**data, "notes": tuple(data["notes"])})


def table(rows: list[Row]) -> str:
    """The rows of one section as Markdown."""
    people = list(dict.fromkeys(who for row in rows for who in row.figures))
    compared = f"{people[0]} / {people[1]}" if any(row.ratio for row in rows) else ""
    units = ", ".join(dict.fromkeys(row.unit for row in rows if row.figures))
    head = ["work", "how", *(f"{who}, {units}" for who in people), *([f"time, {compared}"] if compared else [])]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        told = [row.told(who) for who in people]
        ratios = [f"**{row.ratio:.3f}**" if row.ratio else "-"] if compared else []
        lines.append([row.work, row.how, *told, *ratios])
    notes = [f"- {row.work}, {row.how}: {note}" for row in rows for note in row.notes]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ([""] if notes else []) + notes)
