"""Urls of shards on the command line, with the signs that they have."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ldmlab.configs.urls import with_urls


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("data.urls=http://host:80/{00..03}.tar?a=b,c&d", "http://host:80/{00..03}.tar?a=b,c&d"),
        ("data.heldout_urls=pipe:cat 'my shards'/x.tar", "pipe:cat 'my shards'/x.tar"),
        ("+data.urls=/data/*.tar", "/data/*.tar"),
        ("data.urls=[a.tar,b.tar]", ["a.tar", "b.tar"]),
        ("data.urls='{0..3}.tar'", "{0..3}.tar"),
        ("data.heldout_urls=null", None),
        ("data.path=data/shapes", "data/shapes"),
    ],
)
def test_urls_are_read_as_they_stand(written: str, value: object) -> None:
    (line,) = with_urls([written])
    found = OverridesParser.create().parse_override(line).value()
    assert (found if isinstance(value, list | None) else str(found)) == value
