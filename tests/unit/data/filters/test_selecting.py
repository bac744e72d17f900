"""A filter of an index: found on columns, counted, kept, and the same as of the json."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldmlab.data.filters import selecting
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.removal import Removal, Removed
from ldmlab.data.filters.selecting import filtered, taken
from ldmlab.data.index import columns as columns_module
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.shards.shard_files import ShardFiles

Write = Callable[[list[dict[str, Any]]], Path]
SCORED = [
    {"aesthetic": 4.0, "pwatermark": 0.9, "language": "en"},
    {"aesthetic": 6.0, "pwatermark": 0.0, "language": "en"},
    {"aesthetic": 7.0, "pwatermark": 0.7, "language": "de"},
    {"aesthetic": 6.5, "pwatermark": None, "language": "en"},
    {"aesthetic": 5.5, "pwatermark": 0.2},
    {"pwatermark": 0.3, "language": "fr"},
]


@pytest.fixture
def write(tmp_path: Path, write_tar: Callable[..., Path], png: Callable[..., bytes]) -> Write:
    """jsons -> a folder of two shards of such samples, of 8 x 8 pixels, the third of them without a caption."""

    def write(metas: list[dict[str, Any]]) -> Path:
        for shard, numbers in enumerate(np.array_split(np.arange(len(metas)), 2)):
            parts = []
            for number in numbers.tolist():
                parts += [
                    (f"{number:04d}.png", png(number)),
                    (f"{number:04d}.json", json.dumps(metas[number]).encode()),
                ]
                parts += [(f"{number:04d}.txt", f"sample {number}".encode())] if number != 2 else []
            write_tar(tmp_path / f"{shard:05d}.tar", parts)
        return tmp_path

    return write


def keys(index: ShardIndex) -> list[int]:
    return [int(entry.key) for entry in index]


@pytest.mark.parametrize(
    ("where", "missing", "kept"),
    [
        ("aesthetic > 5 and pwatermark < 0.5", "drop", [1, 4]),
        ("aesthetic > 5 and pwatermark < 0.5", "keep", [1, 3, 4, 5]),
        ("language == 'en'", "drop", [0, 1, 3]),
        ("language in ['de', 'fr'] or missing(language)", "drop", [2, 4, 5]),
        ("missing(pwatermark)", "drop", [3]),
        ("AESTHETIC_SCORE > 6", "drop", [2, 3]),
        ("words(caption) == 2", "drop", [0, 1, 3, 4, 5]),
        ("missing(caption)", "drop", [2]),
        ("aspect == 1 and image_width == 8 and aesthetic > 6.5", "drop", [2]),
    ],
)
def test_what_is_taken(
    write: Write, where: str, missing: Any, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ShardIndex.build(write(SCORED), needs=Needs(captions=False))
    monkeypatch.delattr(ShardFiles, "read")  # no shard is read again
    assert keys(taken(index, Filter(where, missing))) == kept


def test_it_counts_what_each_condition_leaves_out_alone_and_in_turn(write: Write) -> None:
    index = ShardIndex.build(write(SCORED), needs=Needs(captions=False))
    removal = filtered(index, Filter("aesthetic > 5 and pwatermark < 0.5 and language == 'en'"))[1]
    assert (removal.samples, removal.kept) == (6, 1)
    assert removal.conditions == (
        Removed("aesthetic > 5", alone=2, in_turn=2, undecided=1),
        Removed("pwatermark < 0.5", alone=3, in_turn=2, undecided=1),
        Removed("language == 'en'", alone=3, in_turn=1, undecided=1),
    )
    lines = str(removal).splitlines()
    assert lines[0] == "filter=aesthetic > 5 and pwatermark < 0.5 and language == 'en' keeps 1 of 6 samples; left out:"
    assert lines[2].split() == ["aesthetic", ">", "5", "2", "2", "1"]


def test_samples_that_are_not_needed_do_not_count(write: Write) -> None:
    index = ShardIndex.build(write(SCORED), needs=Needs(captions=True))
    found, removal = filtered(index, Filter("aesthetic > 5"))
    assert (keys(found), removal.samples, removal.kept) == ([1, 3, 4], 5, 3)


def test_a_second_filter_narrows_the_first(write: Write) -> None:
    index = ShardIndex.build(write(SCORED), needs=Needs(captions=False))
    both = taken(taken(index, Filter("aesthetic > 5")), Filter("language == 'en'"))
    assert keys(both) == [1, 3]
    assert both.fingerprint == taken(index, Filter("aesthetic > 5 and language == 'en'")).fingerprint


def test_what_it_takes_is_kept_beside_the_index_and_not_looked_for_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, chosen = write(SCORED), Filter("aesthetic > 5")
    first, counted = filtered(ShardIndex.build(folder, needs=Needs(captions=False)), chosen)

    def refuse(*_: Any) -> Any:
        raise AssertionError("columns are read again")

    with monkeypatch.context() as patch:
        patch.setattr(selecting.ColumnRows, "numbers", refuse)
        again, told = filtered(ShardIndex.build(folder, needs=Needs(captions=False)), Filter("aesthetic>5"))
    assert isinstance(again.rows, np.ndarray)
    assert isinstance(again.rows.base, np.memmap) or isinstance(again.rows, np.memmap)
    assert (keys(again), told, again.fingerprint) == (keys(first), counted, first.fingerprint)


@pytest.mark.parametrize(
    "broken", [None, [], {"filter": 5}, {"filter": "b > 5", "samples": 1, "kept": 1, "conditions": []}]
)
def test_counts_that_are_broken_are_made_again(write: Write, broken: Any) -> None:
    folder, chosen = write(SCORED), Filter("aesthetic > 5")
    counted = filtered(ShardIndex.build(folder), chosen)[1]
    paths = [path for path in folder.rglob("selection-*.json") if json.loads(path.read_text())["note"]]
    paths[0].write_text(json.dumps({**json.loads(paths[0].read_text()), "note": broken}))
    assert filtered(ShardIndex.build(folder), chosen)[1] == counted


def test_other_shards_are_filtered_anew(write: Write) -> None:
    folder, chosen = write(SCORED), Filter("aesthetic > 5")
    before = taken(ShardIndex.build(folder, needs=Needs(captions=False)), chosen)
    write([{**meta, "aesthetic": 9} for meta in SCORED])
    after = taken(ShardIndex.build(folder, needs=Needs(captions=False)), chosen)
    assert (len(before), len(after)) == (4, 6)
    assert before.fingerprint != after.fingerprint


def test_nothing_is_written_where_it_is_not_to_be(write: Write) -> None:
    folder = write(SCORED)
    before = sorted(folder.rglob("*"))
    index = ShardIndex.build(folder, store=False)
    assert len(taken(index, Filter("aesthetic > 5"), store=False)) == 3
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("where", "missing", "told"),
    [
        ("aesthetik > 5", "drop", "no sample in {} has 'aesthetik'; did you mean 'aesthetic'?"),
        ("zzzz > 5", "drop", "no sample in {} has 'zzzz'; there are aesthetic, aspect, caption"),
        ("aesthetic > 50", "drop", "keeps 0 of 5 samples in {}: loosen it"),
        (
            "language > 5 and aesthetic > 50",
            "drop",
            "loosen it; 'language > 5' is decided of no sample: 'language' holds text",
        ),
        ("aesthetic > 5 and pwatermark < 1", "refuse", "filter.missing=refuse: of 1 samples in {} 'aesthetic > 5'"),
    ],
)
def test_what_cannot_be_taken_is_told_in_one_line(write: Write, where: str, missing: Any, told: str) -> None:
    folder = write(SCORED)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - matched below
        taken(ShardIndex.build(folder), Filter(where, missing))
    assert told.format(folder) in str(caught.value)
    assert ("holds text" in str(caught.value)) == ("holds text" in told)
    assert "\n" not in str(caught.value)


def test_a_condition_that_is_never_decided_is_told(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    index = ShardIndex.build(write(SCORED))
    assert len(taken(index, Filter("language > 5 and aesthetic > 4", "keep"))) == 4
    told = "'language > 5' is decided of no sample: 'language' holds text, which is compared by ==, != and in"
    assert [record.message for record in caplog.records if record.levelname == "WARNING"][-1] == told


def test_names_of_strangers_are_shown_as_they_are(write: Write) -> None:
    index = ShardIndex.build(write([{"a\x1b[2J" + "b" * 90: 1, "key": 2}] * 2))
    with pytest.raises(ValueError, match=r"has 'zzz'; there are a\\x1b\[2Jb{35}\.\.\., aspect, caption"):
        taken(index, Filter("zzz > 5"))


VALUES = (0, 1, -3, 2.5, 10**17, 10**400, True, False, None, float("nan"), "en", "x" * 60, "", [1], {"a": 1})


def test_columns_say_what_the_json_says(write: Write) -> None:
    """Of whatever a json may hold; the third sample has no caption."""
    random.seed(0)
    metas = [{name: random.choice(VALUES) for name in "abc" if random.random() < 0.8} for _ in range(60)]
    index = ShardIndex.build(write(metas), cache=False, needs=Needs(captions=False))
    for where in ("a > 0", "a == b", "not c", "a <= b or c > 1", "missing(a)", "a == 'en'", "len(b) > 2", "'x' in c",
                  "b in ['en', '']", "max(a, b) > abs(c)", "a / b > 0", "a < 1e17"):  # fmt: skip
        for missing in ("drop", "keep"):
            chosen = Filter(where, missing)  # type: ignore[arg-type]
            captions = [f"sample {number}" if number != 2 else "" for number in range(60)]
            kept = [n for n, meta in enumerate(metas) if chosen.keeps(meta, captions[n], (8, 8))]
            assert keys(filtered(index, chosen)[0]) == kept, (where, missing)


def test_no_more_samples_are_looked_at_at_once_however_many_there_are(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ShardIndex.build(write(SCORED), cache=False, needs=Needs(captions=False))
    whole, counted = filtered(index, Filter("aesthetic > 5 and language == 'en'"))
    sizes: list[int] = []

    class Watched(selecting.ColumnRows):
        def __init__(self, columns: Any, start: int, stop: int) -> None:
            super().__init__(columns, start, stop)
            sizes.append(stop - start)

    monkeypatch.setattr(selecting, "ColumnRows", Watched)
    monkeypatch.setattr(columns_module, "CHUNK", 4)
    again, told = filtered(index, Filter("aesthetic > 5 and language == 'en'"))
    assert (keys(again), told) == (keys(whole), counted)
    assert sizes == [4, 2]


def test_counts_come_back_as_they_were() -> None:
    removal = Removal("a > 5", 10, 3, (Removed("a > 5", 7, 7, 2),))
    assert Removal.read(json.loads(json.dumps(removal.plain()))) == removal
    for change in ({"kept": 11}, {"samples": -1}, {"filter": 5}, {"kept": "3"}, {"conditions": [{}]}):
        with pytest.raises((ValueError, TypeError)):
            Removal.read({**removal.plain(), **change})
