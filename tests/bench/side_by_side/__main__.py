"""`python -m side_by_side`: measures, prints every row, and writes the tables into a page. `make bench-gpu` runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from side_by_side import attention, command, drawing, passes, rate, reading, training
from side_by_side.bench import FAILURES, Bench, first_line
from side_by_side.machine import ROOT, description
from side_by_side.record import Record
from side_by_side.row import Row
from side_by_side.sizes import SIZES

SECTIONS: dict[str, Callable[[Bench], None]] = {
    "drawing": drawing.section,
    "training": training.section,
    "command": command.section,
    "attention": attention.section,
    "decoder": passes.decoders,
    "unet": passes.unets,
    "reading": reading.section,
    "small": training.others,
    "passes": passes.transformers,
}
"""In the order of what matters most, should the time be up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0, or 2 where there is no GPU."""
    options = _options(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("bench-gpu: there is no GPU here; on a CPU, make bench measures what a CPU can", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    record = Record(options.out / "rows.jsonl", description(device))
    bench = Bench(device, SIZES[options.size], record, options.seconds)
    run(bench, options.sections, options.page)
    print(record.markdown())
    return 0


def run(bench: Bench, names: Sequence[str], page: Path | None = None) -> None:
    """The named sections, one after the other; the page is written after each. One that fails does not end the rest."""
    rate.section(bench)
    for name in names:
        try:
            SECTIONS[name](bench)
        except FAILURES as error:
            bench.keep(Row(name.capitalize(), "all", "", notes=(first_line(error),)))
        bench.tidy()
        if page is not None:
            bench.record.write_into(page)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m side_by_side", description=__doc__)
    parser.add_argument("--sections", type=_sections, default="all", help=f"all, or some of {','.join(SECTIONS)}")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="published", choices=SIZES)
    parser.add_argument("--seconds", type=float, default=450.0, help="after which no more is begun")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench-gpu", help="folder of the rows")
    parser.add_argument("--page", type=Path, help="Markdown that the tables are written into, between its two marks")
    return parser.parse_args(argv)


def _sections(words: str) -> list[str]:
    names = list(SECTIONS) if words == "all" else words.split(",")
    if unknown := sorted(set(names) - set(SECTIONS)):
        raise argparse.ArgumentTypeError(f"unknown section {', '.join(unknown)}; choose of {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
