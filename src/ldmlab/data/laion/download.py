"""Fetches the pictures of a list of URLs as shards, goes on where it was stopped, and audits what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ldmlab.atomic import write_json
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.laion.columns import AUTO, Columns, choose_columns
from ldmlab.data.laion.options import check_settings, options_of
from ldmlab.data.laion.program import command_line, find_program, last_words, run_program
from ldmlab.data.laion.report import DownloadReport, SplitReport, reasons
from ldmlab.data.laion.shard_stats import DoneShards
from ldmlab.data.laion.url_list import UrlList
from ldmlab.data.needs import Needs
from ldmlab.data.problems import PROBLEMS, Problem, write_problems
from ldmlab.data.writing.claim import DATASET, claim, digest_of, digest_of_file
from ldmlab.data.writing.dataset_writer import Progress

WORTH_PROCESSES = 20_000
"""Samples whose audit takes longer than processes take to start."""
_HOW = ("urls", "heldout_urls", "threads", "timeout", "retries", "program")
"""Settings that do not decide what a picture becomes."""


@dataclass(frozen=True)
class UrlDownload:
    """Pictures of a list of URLs, fetched by img2dataset into `train/` (and `heldout/`) of a folder.

    Args:
        urls: a file (parquet, csv, tsv, jsonl or txt), or a folder of such files.
        heldout_urls: another one, of held-out pictures.
        url_column: "auto" for `url` in any case, or its name.
        caption_column: "auto" for `caption` or `text` in any case, its name, or "none".
        columns: what else goes into each sample's json: "auto" for all numbers and texts, or names.
        image_size: pixels of the side that pictures are resized to.
        resize_mode: "no"; "keep_ratio" makes the shorter side that long, "keep_ratio_largest" the longer one;
            "center_crop" cuts a square out of the middle, "border" adds white to make one.
        resize_only_if_bigger: smaller pictures stay as they are.
        min_image_size: pictures with a shorter side are left out.
        max_aspect_ratio: of the longer to the shorter side; others are left out.
        image_format: "jpg", "png" or "webp".
        quality: see `QUALITY`, which has what is taken where it is None.
        threads: downloads at a time in each process.
        timeout: seconds to wait for a server that says nothing.
        retries: further tries of a URL that failed.
        program: name or path of img2dataset.
        options: further options of img2dataset, by its names for them.
    """

    urls: str | None
    heldout_urls: str | None = None
    url_column: str = AUTO
    caption_column: str = AUTO
    columns: str | Sequence[str] = AUTO
    image_size: int = 512
    resize_mode: str = "keep_ratio"
    resize_only_if_bigger: bool = True
    min_image_size: int = 0
    max_aspect_ratio: float | None = None
    image_format: str = "jpg"
    quality: int | None = None
    threads: int = 64
    timeout: int = 10
    retries: int = 0
    program: str = "img2dataset"
    options: Mapping[str, Any] = field(default_factory=dict)

    name = "laion"

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("urls: no list of URLs is named; give one, such as urls=meta.parquet")
        check_settings(self)

    def fetch(self, root: Path, shard_size: int, workers: int, progress: Progress) -> DownloadReport:
        """Fetch what is not there yet, and audit all that is.

        Args:
            root: folder of the dataset; made if absent.
            shard_size: URLs a shard.
            workers: processes.
            progress: tells of URLs asked; see `write_shards`.

        Raises:
            ValueError: bad input, another list's folder, a program that is missing or failed, or not one usable sample.
        """
        given = {"train": (self.urls, "urls"), "heldout": (self.heldout_urls, "dataset.heldout_urls")}
        lists = {split: UrlList.read(path, key) for split, (path, key) in given.items() if path}
        columns = {split: self._columns(urls) for split, urls in lists.items()}
        facts = self._facts(lists, columns, shard_size)
        claim(root, lists, facts)
        for split, urls in lists.items():
            options = options_of(self, urls, columns[split], shard_size)
            self._download(root, split, urls, options | {"processes_count": workers}, progress)
        write_json(root / DATASET, facts | {"complete": True})
        audited = {split: _audit(root, split, columns[split].caption is not None, workers, progress) for split in lists}
        write_problems(root / PROBLEMS, _in_splits({split: index for split, (_, index) in audited.items()}))
        return DownloadReport(tuple(report for report, _ in audited.values()))

    def _columns(self, urls: UrlList) -> Columns:
        return choose_columns(urls, self.url_column, self.caption_column, self.columns)

    def _facts(self, lists: Mapping[str, UrlList], columns: Mapping[str, Columns], shard_size: int) -> dict[str, Any]:
        """What the dataset is, for `dataset.json`: that of a list, not of where it lies or how fast it is fetched."""
        config: dict[str, Any] = {name: value for name, value in asdict(self).items() if name not in _HOW}
        config["options"] = dict(self.options)
        for split, urls in lists.items():
            files = [digest_of_file(file) for file in urls.files]
            config[split] = {"files": files, "rows": urls.rows, "columns": asdict(columns[split])}
        return {
            "name": self.name,
            "config": config,
            "counts": {split: sum(urls.rows) for split, urls in lists.items()},
            "shard_size": shard_size,
            "licence": "NOASSERTION",
            "attribution": "",
            "fingerprint": digest_of([config, shard_size]),
        }

    def _download(self, root: Path, split: str, urls: UrlList, options: Mapping[str, Any], progress: Progress) -> None:
        done = DoneShards(root / split)
        shards, asked = urls.shards(options["number_sample_per_shard"]), done.look()
        if shards == len(done.by_number):
            return
        program = find_program(self.program)
        words = command_line(program, {**options, "output_folder": str(root / split)})
        log = root / f"img2dataset_{split}.log"
        with progress(f"fetching {split}", sum(urls.rows), asked) as advance:
            code = run_program(words, log, lambda: advance(done.look()))
            advance(done.look())
        if len(done.by_number) < shards:
            raise ValueError(
                f"{self.program} ended with code {code} after {len(done.by_number)} of {shards} shards of {split}:"
                f" {last_words(log)}; the same command goes on from there (all it said is in {log})"
            )


def _audit(root: Path, split: str, captions: bool, workers: int, progress: Progress) -> tuple[SplitReport, ShardIndex]:
    done = DoneShards(root / split)
    done.look()
    stats = done.total()
    if not stats.fetched:
        raise ValueError(
            f"{root / split}: not one picture could be fetched from {stats.urls} URLs: {reasons(stats)};"
            " take the folder away to ask again"
        )

    def tracked(shards: Sequence[Path]) -> Iterator[Path]:
        with progress(f"auditing {split}", len(shards), 0) as advance:
            for shard in shards:
                yield shard
                advance(1)

    processes = workers if stats.fetched > WORTH_PROCESSES else 1
    index = ShardIndex.build(root / split, needs=Needs(captions), progress=tracked, workers=processes)
    report = SplitReport(root / split, len(done.by_number), stats, len(index), index.problems.tallies, root / PROBLEMS)
    return report, index


def _in_splits(indexes: Mapping[str, ShardIndex]) -> Iterator[Problem]:
    """The problems of each split, with its name before that of the shard."""
    for split, index in indexes.items():
        yield from (replace(problem, shard=f"{split}/{problem.shard}") for problem in index.problems)
