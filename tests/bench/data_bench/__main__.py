"""`python -m data_bench`: measures section by section, and writes what comes of it into a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from data_bench import SECTIONS
from data_bench.page import write_into
from side_by_side.machine import ROOT, checkout, processor


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0, or 2 where there is no such section."""
    options = _options(argv)
    names = list(SECTIONS) if options.sections == "all" else options.sections.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        print(f"bench-data: {unknown[0]} is no section; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    where = f"{processor()}, {datetime.now(UTC):%Y-%m-%d}, commit {checkout()}"
    for name in names:
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        print(f"== {name}", flush=True)
        text = import_module(f"data_bench.{name}").section(folder)
        (options.out / f"{name}.md").write_text(f"{text}\n\n{where}.\n")
        print(text, flush=True)
        if options.page:
            write_into(options.page, options.out)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m data_bench", description=__doc__)
    parser.add_argument("--sections", default="all", help="some of them, with commas between; all if not given")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench-data", help="folder of what is written")
    parser.add_argument("--page", type=Path, help="Markdown that the tables are written into, between its two marks")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
