"""Which columns of a list are fetched from, say what a picture shows, or go into its json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ldmlab.data.laion.url_list import UrlList

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

AUTO, NONE = "auto", "none"
URLS = ("url", "image_url", "img_url", "image_link")
CAPTIONS = ("caption", "text", "top_caption", "alt_text", "alt", "title")
"""Names that are looked for, in any case, the first that is there."""
RESERVED = {
    *("key", "caption", "url", "width", "height", "original_width", "original_height", "status", "error_message"),
    *("exif", "md5", "sha256", "sha512"),
}
"""What img2dataset writes itself."""


@dataclass(frozen=True)
class Columns:
    """Names of columns: of URLs, of captions (None for none), and of what else is kept."""

    url: str
    caption: str | None
    more: tuple[str, ...]


def choose_columns(urls: UrlList, url: str, caption: str, more: str | Sequence[str]) -> Columns:
    """Find the columns of a list.

    Args:
        urls: the list.
        url: a name, or "auto" for one of `URLS`.
        caption: a name, "none", or "auto" for one of `CAPTIONS`, if there is one.
        more: names, or "auto" for all whose values are numbers, texts or truth values.

    Raises:
        ValueError: there is none of a name, or of another type; the names that there are are told.
    """
    names, types = urls.schema.names, dict(zip(urls.schema.names, urls.schema.types, strict=True))
    link = _find(names, URLS) if url == AUTO else url
    if link is None or link not in types:
        what = "no column of URLs" if url == AUTO else f"no column '{url}'"
        raise ValueError(f"urls={urls.path}: has {what}, but {', '.join(names)}; name it by dataset.url_column=")
    words = {AUTO: _find(names, CAPTIONS), NONE: None}.get(caption, caption)
    if words is not None and words not in types:
        raise ValueError(f"dataset.caption_column={caption}: {urls.path} has no such column, but {', '.join(names)}")
    for key, name in (("url_column", link), ("caption_column", words)):
        if name is not None and not _is_text(types[name]):
            raise ValueError(f"dataset.{key}={name}: is {types[name]} in {urls.path}, not text; name another one")
    return Columns(link, words, _more(urls, more, {link, words}))


def _find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in wanted if name in lower), None)


def _more(urls: UrlList, more: str | Sequence[str], taken: set[str | None]) -> tuple[str, ...]:
    names = urls.schema.names
    if more == AUTO:
        left = [name for name in names if name not in taken and name not in RESERVED]
        kept = tuple(name for name in left if _fits_json(urls.schema.field(name).type))
        if dropped := [name for name in left if name not in kept]:
            log.info("columns that are neither numbers nor text stay out of the json: %s", ", ".join(dropped))
        return kept
    chosen = (more,) if isinstance(more, str) else tuple(more)
    for name in chosen:
        if name not in names:
            raise ValueError(f"dataset.columns: {urls.path} has no column '{name}', but {', '.join(names)}")
        if name in RESERVED:
            raise ValueError(f"dataset.columns: img2dataset writes a '{name}' of its own; leave it out")
        if not _fits_json(urls.schema.field(name).type):
            raise ValueError(f"dataset.columns: '{name}' is neither numbers nor text; leave it out")
    return tuple(name for name in chosen if name not in taken)


def _is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _fits_json(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return bool(_is_text(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))
