"""What a filter costs: the first time, when it reads columns, and every time after that."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_bench.synthetic import synthetic_index
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import filtered

SIZES = (1_000_000, 10_000_000)
FILTERS = {
    "sd1": "original_width >= 512 and original_height >= 512 and pwatermark <= 0.4999 and aesthetic > 5",
    "a text of few values": "language == 'en'",
    "words of captions": "words(caption) > 5",
}


def section(folder: Path) -> str:
    """Filter synthetic indexes of two sizes."""
    lines = [
        "A filter of an index of samples with LAION's json: seconds of CPU a million samples when it is new, seconds",
        "in all when it is known, and the most anonymous memory that it took meanwhile, in MB.\n",
        "| samples | filter | new, s a million | known, s | MB |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    for samples in SIZES:
        place = folder / f"{samples}"
        for name, where in FILTERS.items():
            lines.append(f"| {samples:,} | {name} | {_row(place, samples, Filter(where))} |")
        shutil.rmtree(place)
    return "\n".join(lines)


def _row(place: Path, samples: int, chosen: Filter) -> str:
    index = synthetic_index(place, samples)
    with _most_memory() as memory:
        start = time.process_time()
        first = filtered(index, chosen)[1]
        new = time.process_time() - start
    start = time.process_time()
    again = filtered(synthetic_index(place, samples), chosen)[1]
    known = time.process_time() - start
    assert again == first
    return f"{new / samples * 1e6:.2f} | {known:.2f} | {memory[-1]:.0f}"


@contextmanager
def _most_memory() -> Iterator[list[float]]:
    """Anonymous MB beyond what there is now: the last element when the block is done."""
    before, ended, found = _anonymous(), threading.Event(), [0.0]

    def watch() -> None:
        while not ended.wait(0.01):
            found.append(max(found[-1], _anonymous() - before))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _anonymous() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024
