"""`python -m side_by_side`: measures, prints every row, and writes the tables into a page. `make bench-gpu` runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from side_by_side.machine import ROOT, description
from side_by_side.record import Record
from side_by_side.sizes import SIZES


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0, or 2 where there is no GPU or no such section."""
    options = _options(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        return _refuse("there is no GPU here; on a CPU, make bench measures what a CPU can")
    from side_by_side.bench import Bench
    from side_by_side.sections import chosen, run

    try:
        names = chosen(options.sections)
    except ValueError as error:
        return _refuse(str(error))
    device = torch.device(options.device)
    record = Record(options.out / "rows.jsonl", description(device, options.commit))
    run(Bench(device, SIZES[options.size], record, options.seconds), names, options.page)
    print(record.markdown())
    return 0


def _refuse(why: str) -> int:
    print(f"bench-gpu: {why}", file=sys.stderr)
    return 2


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m side_by_side", description=__doc__)
    parser.add_argument("--sections", default="all", help="some of them, with commas between; all if not given")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="published", choices=SIZES)
    parser.add_argument("--seconds", type=float, default=450.0, help="after which no more is begun")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench-gpu", help="folder of the rows")
    parser.add_argument("--commit", help="that is measured, where there is no git to say so")
    parser.add_argument("--page", type=Path, help="Markdown that the tables are written into, between its two marks")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
