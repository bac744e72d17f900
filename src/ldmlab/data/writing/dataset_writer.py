"""Write a whole dataset: all shards of all splits, on any number of processes, resuming where it stopped."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmlab.atomic import write_json
from ldmlab.data.problems import PROBLEMS, Defect, Problem, summarise, write_problems
from ldmlab.data.sample_source import SPLITS, SampleSource, UnusableError
from ldmlab.data.worker_processes import start_worker
from ldmlab.data.writing.claim import DATASET, claim
from ldmlab.data.writing.shard_writer import ShardWriter, encode_image

Job = tuple[str, int]
Progress = Callable[[str, int, int], AbstractContextManager[Callable[[int], object]]]


@dataclass(frozen=True)
class DatasetReport:
    """What `write_shards` did: samples by split, shards written now and kept from before, wall seconds.

    As text, lines for people. `problems` names each sample that could not be made; where there are some, `PROBLEMS` in
    the folder does too.
    """

    root: Path
    counts: dict[str, int]
    written: int
    kept: int
    seconds: float
    fingerprint: str
    problems: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        done = f"{self.written} shards written, {self.kept} kept, in {self.seconds:.1f} s"
        line = f"{self.root}: {counts} samples; {done}"
        if not self.problems:
            return line
        return f"{line}\nleft out: {summarise(self.problems)}; all are named in {self.root / PROBLEMS}"


def write_shards(
    source: SampleSource, root: Path, shard_size: int = 1000, workers: int = 1, progress: Progress | None = None
) -> DatasetReport:
    """Write all shards that are not complete yet, then `dataset.json` with `complete: true`.

    Samples that cannot be made are left out and named.

    Args:
        source: where the samples come from.
        root: folder of the dataset; made if absent.
        shard_size: samples a shard.
        workers: processes; with more than one they are spawned, so a script needs its `__name__` guard.
        progress: (what is done, samples in all, samples done) -> context, which gives a function to count samples by.

    Raises:
        ValueError: the folder holds a dataset of another configuration, or an argument is out of range.
        OSError: the disk is full; complete shards stay and a later call goes on from there.
    """
    start = time.perf_counter()
    root = Path(root)
    for key, value in {"shard_size": shard_size, "workers": workers}.items():
        if value < 1:
            raise ValueError(f"{key}={value} is too small; give 1 or more")
    writer = ShardWriter(source, root, shard_size)
    counts = {split: source.count(split) for split in SPLITS if source.count(split)}
    _check_source(source, counts)
    facts = _description(writer, counts)
    claim(root, counts, facts)
    stats = {(s, n): writer.stats(s, n) for s in counts for n in range(writer.shards(s))}
    kept = {job: found for job, found in stats.items() if found is not None}
    jobs = [job for job in stats if job not in kept]
    written = _write_all(writer, jobs, sum(len(writer.samples(*job)) for job in kept), workers, progress)
    done = kept | written
    problems = tuple(_problems(done))
    if problems:
        write_problems(root / PROBLEMS, problems)
    counts = {split: sum(done[job]["successes"] for job in done if job[0] == split) for split in counts}
    write_json(root / DATASET, facts | {"counts": counts, "complete": True, "sha256": _hash(done)})
    seconds = time.perf_counter() - start
    return DatasetReport(root, counts, len(written), len(kept), seconds, writer.fingerprint, problems)


@contextmanager
def _silent(what: str, total: int, done: int) -> Iterator[Callable[[int], object]]:
    yield lambda count: None


def _check_source(source: SampleSource, counts: dict[str, int]) -> None:
    """Fail before anything is written if the source has no samples or an unknown image format."""
    if not counts:
        raise ValueError(f"dataset '{source.name}' has no samples; ask for at least one in train or heldout")
    first = None
    for split, count in counts.items():
        for index in range(count):
            try:
                encode_image(source.sample(split, index).image, source.image_format)
                return
            except UnusableError as problem:
                first = first or problem
    raise ValueError(f"dataset '{source.name}' has no sample that can be used; {first}")


def _problems(stats: dict[Job, dict[str, Any]]) -> Iterator[Problem]:
    """What was left out, in the order of the shards."""
    for split, shard in sorted(stats):
        for defect, name, detail in stats[split, shard].get("unusable", ()):
            yield Problem(Defect(defect), f"{split}/{shard:05d}.tar", name, detail)


def _description(writer: ShardWriter, counts: dict[str, int]) -> dict[str, Any]:
    source = writer.source
    return {
        "name": source.name,
        "config": source.config(),
        "counts": counts,
        "shard_size": writer.shard_size,
        "licence": source.licence,
        "attribution": source.attribution,
        "fingerprint": writer.fingerprint,
    }


def _hash(stats: dict[Job, dict[str, Any]]) -> str:
    """Hash the tars' hashes in order: the identity of the data as written, for manifests."""
    lines = [f"{split}/{shard:05d} {stats[split, shard]['tar_sha256']}" for split, shard in sorted(stats)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _write_all(
    writer: ShardWriter, jobs: list[Job], done: int, workers: int, progress: Progress | None
) -> dict[Job, dict[str, Any]]:
    total = done + sum(len(writer.samples(*job)) for job in jobs)
    results = {}
    with (progress or _silent)(f"writing {writer.source.name}", total, done) as advance:
        for job, stats in _results(writer, jobs, min(workers, len(jobs))):
            results[job] = stats
            advance(stats["count"])
    return results


def _results(writer: ShardWriter, jobs: list[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    if workers <= 1:
        yield from ((job, writer.write(*job)) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(writer,)) as pool:
        futures = {pool.submit(_write, *job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_of_worker: list[ShardWriter] = []
"""What a worker got when it began: a source of many samples travels once, and keeps files open between shards."""


def _start_worker(writer: ShardWriter) -> None:
    start_worker()
    _of_worker[:] = [writer]


def _write(split: str, shard: int) -> dict[str, Any]:
    return _of_worker[0].write(split, shard)
