"""What an index costs: to make it, and to open it at up to 400 million samples."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

from data_bench.holes import NEEDS, store_selection, write_index
from data_bench.page import table
from data_bench.photos import write_shards
from ldmlab.data.index.shard_index import ShardIndex

SAMPLES = 2000
MILLIONS = (1, 10, 100, 400)
WORKERS, READ = 4, 1000


def section(folder: Path) -> str:
    """Two tables: of real shards, and of files with holes that stand for many more."""
    return f"{made(folder)}\n\n{opened(folder)}"


def made(folder: Path) -> str:
    """Seconds and bytes to index photographs."""
    root = write_shards(folder / "photos", SAMPLES)
    shutil.rmtree(root / ".ldmlab_index", ignore_errors=True)
    start = process_time()
    index = ShardIndex.build(root)
    seconds = process_time() - start
    files = [path for path in (root / ".ldmlab_index").rglob("*") if path.is_file()]
    columns = sum(path.stat().st_size for path in files if path.is_relative_to(index.columns.folder or root))
    scans = sum(path.stat().st_size for path in files) - columns
    text = (
        f"To index {SAMPLES} photographs takes {1e6 * seconds / SAMPLES:.0f} s of CPU a million, and leaves "
        f"{columns / SAMPLES:.0f} MB of columns and {scans / SAMPLES:.0f} MB of scans a million on the disk."
    )
    return text


def opened(folder: Path) -> str:
    """Seconds and memory to open indexes of more and more samples, and to read some of them in several processes."""
    rows = []
    for millions in MILLIONS:
        root = write_index(folder / f"synthetic-{millions}", millions * 10**6)
        store_selection(root)
        command = [sys.executable, "-m", "data_bench.index", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        rows.append([f"{millions} million", *done.stdout.split()])
        shutil.rmtree(root)
    head = [
        "samples",
        "seconds to open",
        "of CPU",
        f"MB of memory, {WORKERS + 1} processes together",
        "us to read a sample",
    ]
    return table(head, rows)


def _measured(root: Path) -> str:
    """Open an index, read samples of it in several processes, and say what that took."""
    start, own = perf_counter(), process_time()
    index = ShardIndex.build(root, needs=NEEDS)
    seconds, cpu = perf_counter() - start, process_time() - own
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(WORKERS)]
    workers = [context.Process(target=_worker, args=(index, seed, end)) for seed, (_, end) in enumerate(pipes)]
    for worker in workers:
        worker.start()
    slowest = max(receiver.recv() for receiver, _ in pipes)
    memory = sum(anonymous_memory(pid) for pid in (os.getpid(), *(worker.pid for worker in workers)) if pid)
    for receiver, _ in pipes:
        receiver.send(None)
    return f"{seconds:.2f} {cpu:.2f} {memory / 1e6:.0f} {1e6 * slowest:.0f}"


def _worker(index: ShardIndex, seed: int, pipe: Connection) -> None:
    rng = random.Random(seed)
    start = perf_counter()
    for _ in range(READ):
        index[rng.randrange(len(index))]
    pipe.send((perf_counter() - start) / READ)
    pipe.recv()


def anonymous_memory(pid: int) -> int:
    """Bytes of a process that no file holds, its share of those that it has in common with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return 1024 * kilobytes["Pss_Anon"]


if __name__ == "__main__":
    print(_measured(Path(sys.argv[1])))
