"""2,000 photographs with defects of all kinds: who delivers the good ones, and who names the bad ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

from data_bench.page import table
from data_bench.photos import jpegs
from data_bench.spoiled import BAD, ODD, write

PHOTOS, EACH, SIDE = 2000, 8, 128
LOADERS = {
    "ldmlab": "ldmlab",
    "webdataset": "webdataset",
    "webdataset_warns": "webdataset with `warn_and_continue`",
}


def section(folder: Path) -> str:
    """A row a loader: good samples delivered, bad ones named, seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    written = write(folder, islice(jpegs(PHOTOS, SIDE), PHOTOS), in_each=200, each=EACH)
    truth = {"good": written.good, "bad": [*written.bad]}
    (folder / "truth.json").write_text(json.dumps(truth))
    rows = [[label, *_measure(name, folder)] for name, label in LOADERS.items()]
    text = (
        f"{PHOTOS} photographs in {PHOTOS // 200} shards, and a web page that is called one: {len(written.bad)} "
        f"defects of {len(BAD)} kinds, and {len(written.odd)} samples that look odd in {len(ODD)} ways and are good."
    )
    head = ["loader", f"delivered of {len(written.good)} good", f"named of {len(written.bad)} bad", "seconds", ""]
    return f"{text}\n\n{table(head, rows)}"


def _measure(loader: str, folder: Path) -> list[str]:
    """One loader in a process of its own."""
    command = [sys.executable, "-m", "data_bench.defects", loader, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main(loader: str, folder: Path) -> None:
    """Read all once, and print a row."""
    truth = json.loads((folder / "truth.json").read_text())
    delivered: Counter[str] = Counter()
    named: set[str] = set()
    start, how = perf_counter(), "to its end"
    try:
        for key in (
            _ldmlab(folder, named) if loader == "ldmlab" else _webdataset(folder, loader.endswith("warns"), named)
        ):
            delivered[key] += 1
    except Exception as error:
        how = f"ended by a {type(error).__name__}"
    seconds = perf_counter() - start
    good, bad = (
        sum(key in delivered for key in truth["good"]),
        sum(any(key in line for line in named) for key in truth["bad"]),
    )
    print(json.dumps([f"{good}", f"{bad}", f"{seconds:.1f}", how]), flush=True)


def _ldmlab(folder: Path, named: set[str]) -> Iterator[str]:
    from ldmlab.data.index.shard_index import ShardIndex
    from ldmlab.data.shard_dataset import ShardDataset

    dataset = ShardDataset(ShardIndex.build(folder), SIDE)
    yield from (dataset[row]["key"] for row in range(len(dataset)))
    named |= {str(problem) for problem in [*dataset.index.problems, *dataset.corrupt]}


def _webdataset(folder: Path, warns: bool, named: set[str]) -> Iterator[str]:
    import webdataset as wds

    handler = wds.warn_and_continue if warns else wds.reraise_exception
    urls = sorted(map(str, folder.glob("*.tar")))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        dataset = wds.WebDataset(urls, shardshuffle=False, handler=handler).decode("pilrgb", handler=handler)
        parts = dataset.to_tuple("__key__", "jpg;jpeg;png;webp", "txt", handler=handler)
        yield from (key for key, *_ in parts)
        named |= {str(each.message) for each in told}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
