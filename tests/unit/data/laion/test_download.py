"""A list of URLs becomes shards that are counted and audited, with img2dataset in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ldmlab.data.laion.download import UrlDownload
from ldmlab.data.laion.program import find_program, run_program
from ldmlab.data.laion.report import reasons
from ldmlab.data.laion.shard_stats import DoneShards, ShardStats

pytest.importorskip("pyarrow")
Listed = Callable[..., Path]


def silent(what: str, total: int, done: int) -> Any:
    return nullcontext(lambda count: None)


def fetch(urls: Path, root: Path, program: Path, size: int = 4, **settings: Any) -> str:
    return str(UrlDownload(str(urls), program=str(program), **settings).fetch(root, size, 2, silent))


def test_what_was_asked_fetched_failed_and_rejected_is_counted(listed: Listed, stand_in: Path, tmp_path: Path) -> None:
    root = tmp_path / "laion"
    report = fetch(listed(1, 2, "gone", 3, "page", 4), root, stand_in, timeout=3, options={"user_agent_token": "me"})
    assert "6 URLs, 5 downloaded, in 2 shards\nfailed: 1 (1 HTTP Error 404: Not Found)\n" in report
    assert "rejected by the audit: 1 problem: 1 undecodable image (first: 00001.tar/000010)" in report
    assert report.endswith("usable: 4 samples")
    assert (root / "data_problems.csv").read_text().splitlines()[1:] == ["undecodable image,train/00001.tar,000010,"]
    told = json.loads(stand_in.with_suffix(".json").read_text())
    assert (told["url_col"], told["caption_col"], told["save_additional_columns"]) == ("URL", "TEXT", ["score"])
    assert (told["input_format"], told["number_sample_per_shard"], told["processes_count"]) == ("csv", 4, 2)
    assert (told["timeout"], told["user_agent_token"], told["encode_quality"]) == (3, "me", 95)


def test_a_shard_of_which_nothing_came_is_no_defect(listed: Listed, stand_in: Path, tmp_path: Path) -> None:
    report = fetch(listed(1, 2, "gone", "lost"), tmp_path / "laion", stand_in, 2)
    assert "4 URLs, 2 downloaded, in 2 shards" in report
    assert "rejected" not in report


def test_a_failure_is_one_line_and_the_same_command_goes_on(listed: Listed, stand_in: Path, tmp_path: Path) -> None:
    root, urls = tmp_path / "laion", listed(1, 2, 3, "full", 4)
    with pytest.raises(ValueError, match=r"ended with code 1 after 1 of 3 shards of train: OSError.*No space") as told:
        fetch(urls, root, stand_in, 2)
    assert "\n" not in str(told.value)
    assert not json.loads((root / "dataset.json").read_text())["complete"]
    first = (root / "train/00000.tar").stat().st_mtime_ns
    urls.with_suffix(".links").write_text(urls.with_suffix(".links").read_text().replace("full", "gone"))
    assert "5 URLs, 4 downloaded, in 3 shards" in fetch(urls, root, stand_in, 2)
    assert (root / "train/00000.tar").stat().st_mtime_ns == first
    stand_in.unlink()
    assert "usable: 4 samples" in fetch(urls, root, stand_in, 2)  # which is not asked for when all is there


def test_another_list_is_refused_where_one_was_fetched(listed: Listed, stand_in: Path, tmp_path: Path) -> None:
    fetch(listed(1, 2), tmp_path / "laion", stand_in)
    fetch(listed(1, 2), tmp_path / "laion", stand_in, threads=3, retries=2)
    for words, settings in (((1, 2, 3), {}), ((1, 2), {"image_size": 99})):
        with pytest.raises(ValueError, match="holds a dataset of another configuration"):
            fetch(listed(*words), tmp_path / "laion", stand_in, **settings)


def test_held_out_pictures_have_a_list_of_their_own(listed: Listed, stand_in: Path, tmp_path: Path) -> None:
    heldout = listed(7, 8, name="heldout.csv")
    report = fetch(listed(1, 2, 3), tmp_path / "laion", stand_in, heldout_urls=str(heldout))
    assert re.findall(r"(\w+): (\d) URLs", report) == [("train", "3"), ("heldout", "2")]


def test_nothing_that_could_be_fetched_says_why(listed: Listed, stand_in: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not one picture .* from 2 URLs: 2 \(2 HTTP Error 404"):
        fetch(listed("gone", "lost"), tmp_path / "laion", stand_in)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"urls": None}, "urls: no list of URLs is named; give one, such as urls=meta.parquet"),
        ({"resize_mode": "crop"}, r"dataset\.resize_mode=crop is unknown; use one of no, keep_ratio"),
        ({"image_format": "gif"}, r"dataset\.image_format=gif is unknown"),
        ({"threads": 0}, r"dataset\.threads=0 is too small; give 1 or more"),
        ({"image_format": "png", "quality": 95}, r"dataset\.quality=95: of a png it is from 0 to 9"),
        ({"options": {"timeout": 3}}, r"dataset\.options\.timeout: is set by ldmlab"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        UrlDownload(**{"urls": "meta.csv", **settings})


def test_a_program_that_is_missing_says_how_to_come_by_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    with pytest.raises(ValueError, match=r"dataset\.program=no-such-program: .* PATH; `make laion` installs"):
        find_program("no-such-program")
    program = tmp_path / ".venv-laion/bin/no-such-program"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    assert find_program("no-such-program") == str(program)


def sleep_in_a_program(log: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    run_program(["sleep", "97"], log, lambda: None)


def sleepers(session: int) -> list[str]:
    """The processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            state, _, group = rest.split()[:3]
            found += [name] if int(group) == session and state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_program_ends_with_this_process_however_that_ends(number: int, tmp_path: Path) -> None:
    process = get_context("fork").Process(target=sleep_in_a_program, args=(tmp_path / "log",))
    process.start()
    group: int | None = None
    deadline = time.monotonic() + 20
    while group is None and time.monotonic() < deadline:
        time.sleep(0.02)
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                name, _, rest = path.read_text().rpartition(")")
                _, parent, own = rest.split()[:3]
                group = int(own) if int(parent) == process.pid and name.endswith("(sleep") else group
    assert group is not None
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(20)
    while sleepers(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sleepers(group) == []


def test_shards_that_are_not_done_do_not_count(tmp_path: Path) -> None:
    done = DoneShards(tmp_path)
    for name, text in {
        "00000_stats.json": '{"count": 3, "successes": 2, "status_dict": {"success": 2, "timed out": 1}}',
        "00001_stats.json": '{"count": 3, "succ',
        "00002_stats.json": '{"count": -3, "successes": 2, "status_dict": {}}',
        "dataset_stats.json": "{}",
    }.items():
        (tmp_path / name).write_text(text)
    assert (done.look(), done.look(), [*done.by_number]) == (3, 0, [0])
    assert done.total() == ShardStats(3, 2, done.total().failed)


def test_reasons_are_grouped_and_printable() -> None:
    stats = ShardStats()
    stats.failed.update({f"IncompleteRead({n} bytes read, 9 more expected)": 2 for n in range(3)})
    stats.failed.update({"bad\x1b[2J\nserver": 1})
    assert reasons(stats) == "7 (6 cut off on its way, 1 bad [2J server)"
    stats.failed.update({f"reason {n}": 1 for n in range(20)})
    assert reasons(stats).endswith("1 reason 5, 14 others)")
