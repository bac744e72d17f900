"""The urls of a stream's shards, as a user writes them: one, with braces, a list, or a file with one a line."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from ldmlab.data.streams.webdataset_urls import opener_of_urls
from ldmlab.files import read_text

MOST_BYTES = 2**28
"""Of a file of urls."""
SHARD = re.compile(r"\.(tar|tgz)(\.(gz|bz2|xz))?$", re.IGNORECASE)
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def expand_urls(urls: str | Sequence[str], key: str, secure: bool) -> tuple[str, ...]:
    """Return the url of each shard, in order.

    Braces count (`{00000..00999}`, `{train,more}`), patterns match local files (`*.tar`), and a local file that is not
    named as a tar has one url a line, where empty lines and those that begin with # are passed over.

    Args:
        urls: as given.
        key: its name, for messages.
        secure: whether those that run a command are refused.

    Raises:
        ValueError: there is none, or one that could not be opened whatever is there.
    """
    given = [urls] if isinstance(urls, str) else list(urls)
    found = tuple(url for each in given for url in _listed(each, key))
    if not found:
        raise ValueError(f"{key}={urls if isinstance(urls, str) else given}: names no shard; give the urls of tars")
    for url in found:
        _require_openable(url, key, secure)
    return found


def local_path(url: str) -> Path | None:
    """The file that a url names; None where it is opened by a program."""
    scheme = SCHEME.match(url)
    if scheme is None:
        return Path(url)
    return Path(url2pathname(urlparse(url).path)) if scheme[1].lower() == "file" else None


def _listed(given: str, key: str) -> Iterator[str]:
    for url in map(os.path.expanduser, _braces(given, key)):
        path = local_path(url)
        if path is None:
            yield url
        elif glob.has_magic(url) and not path.exists():
            yield from sorted(glob.glob(str(path)))
        elif SHARD.search(path.name):
            yield url
        elif path.is_dir():
            raise ValueError(f"{key}={url}: is a folder; read it by data=shards data.path={url}, or give {url}/*.tar")
        else:
            yield from _lines(path, key)


def _lines(path: Path, key: str) -> Iterator[str]:
    try:
        text = read_text(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{key}={path}: cannot be read ({reason}); give urls of tars, or a file of them") from error
    lines = (line.strip() for line in text.splitlines())
    yield from (url for line in lines if line and not line.startswith("#") for url in _braces(line, key))


def _braces(text: str, key: str) -> list[str]:
    from braceexpand import braceexpand

    try:
        return list(braceexpand(text))
    except ValueError as error:
        raise ValueError(f"{key}={text}: {error}; write a range as {{00000..00999}}") from error


def _require_openable(url: str, key: str, secure: bool) -> None:
    scheme = SCHEME.match(url)
    if scheme is None or scheme[1].lower() == "file":
        return
    name = scheme[1].lower()
    if name == "pipe" and secure:
        raise ValueError(f"{key}={url}: runs a command of the shell; allow it by data.secure=false if you trust it")
    if name not in opener_of_urls(secure).gopen_schemes:
        raise ValueError(
            f"{key}={url}: webdataset opens no {name}: urls; read them by a command that writes to its output, such as "
            f"{key}='pipe:aws s3 cp s3://bucket/{{00000..00999}}.tar -' data.secure=false"
        )
