"""A filter of a stream takes what it takes of an index, and is held against the first samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ldmlab.data.decoding.decoders import decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import taken
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.streams.entries import StreamSample
from ldmlab.data.streams.first_samples import first_captions, first_samples
from ldmlab.data.streams.source import StreamSource


@pytest.fixture
def source(tmp_path: Path, write_shards: Callable[..., Path]) -> Callable[..., StreamSource]:
    """Filter -> a stream of two shards of six samples, whose json has their number."""
    write_shards(tmp_path, [6, 6])
    urls = tuple(str(path) for path in sorted(tmp_path.glob("*.tar")))
    return lambda *given: StreamSource(urls, filter=Filter(*given))


Source = Callable[..., StreamSource]


@pytest.mark.parametrize("where", ["number % 3 == 0", "words(caption) == 2 and aspect == 1 and not number < 4"])
def test_it_takes_the_same_of_a_stream_as_of_an_index(source: Source, tmp_path: Path, where: str) -> None:
    stream = source(where)
    found = [entry for shard in range(2) for _, entry in stream.entries(shard)]
    keys = [entry.key for entry in found if isinstance(entry, StreamSample)]
    assert keys == [entry.key for entry in taken(ShardIndex.build(tmp_path), Filter(where))]
    assert 0 < len(keys) < 12


def test_a_field_that_no_sample_has_is_told_at_once(source: Source) -> None:
    told = r"filter=numberx > 5.*: none of the first 6 samples of .*00000.tar has 'numberx'; did you mean 'number'\?"
    for missing in ("drop", "keep"):
        with pytest.raises(ValueError, match=told):
            first_samples(source("numberx > 5", missing), 4, "data.urls", decoder_of())
        with pytest.raises(ValueError, match=told):
            first_captions(source("numberx > 5", missing), 4, "data.urls")
    with pytest.raises(ValueError, match="the filter leaves all others out"):
        first_samples(source("number > 500"), 4, "data.urls", decoder_of())


def test_a_sample_that_is_refused_is_named(source: Source) -> None:
    with pytest.raises(ValueError, match=r"00000.tar/000000000: filter.missing=refuse: 'score > 5' cannot be decided"):
        list(source("score > 5", "refuse").entries(0))
