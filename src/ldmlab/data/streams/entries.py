"""What a stream's shard holds, entry by entry: samples that can be used, and what is wrong with the others."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple

from ldmlab.data.decoding.png_chunks import pixels_alone
from ldmlab.data.index.sample_table import MOST_IMAGE_BYTES, MOST_JSON_BYTES
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shards.image_header import Sides, image_sides
from ldmlab.data.shards.labels import MOST, read_label
from ldmlab.data.shards.shard_scan import MAX_PIXELS, MOST_LABEL_BYTES, MOST_TEXT_BYTES, split_name
from ldmlab.data.shards.tar_walk import Damage
from ldmlab.data.shards.unusable import what_else
from ldmlab.data.streams.tar_stream import Readable, StreamMember, stream_members

Parts = dict[str, bytes | None]
"""The files of a sample by what they are ("image", "caption", "meta", "label"); None for one that is too long."""


class StreamSample(NamedTuple):
    """A sample as it came.

    Attributes:
        key: unique within its shard.
        image: its file's bytes.
        sides: width and height of the image in pixels, upright.
        caption: "" for none.
        label: of its class; None for none.
        meta: its json; empty without one.
    """

    key: str
    image: bytes
    sides: Sides
    caption: str
    label: int | None
    meta: dict[str, Any]


class _UnusableError(Exception):
    def __init__(self, defect: Defect, detail: str = "") -> None:
        super().__init__(defect)
        self.defect, self.detail = defect, detail


def read_entries(stream: Readable, shard: str, needs: Needs) -> Iterator[StreamSample | Problem]:
    """Yield what a shard holds, in its order. The same bytes give the same entries, so they can be counted.

    The files of a sample stand together, as they must in a stream: of one that is torn apart, the second part is a
    duplicate key. Of a key that comes twice the first counts.

    Args:
        stream: the archive.
        shard: its name.
        needs: what a sample must have.
    """
    keys: set[str] = set()
    for key, found in _grouped(stream, shard):
        if isinstance(found, Problem):
            yield found
        elif key in keys:
            yield Problem(Defect.DUPLICATE_KEY, shard, key)
        else:
            keys.add(key)
            try:
                yield _checked(key, found, needs)
            except _UnusableError as error:
                yield Problem(error.defect, shard, key, error.detail)


def _grouped(stream: Readable, shard: str) -> Iterator[tuple[str, Parts | Problem]]:
    """The files that stand together, by key; and what is no file of a sample."""
    last, parts = "", Parts()
    for step in stream_members(stream, MOST_IMAGE_BYTES):
        if isinstance(step, StreamMember):
            key, part = split_name(step.name, step.regular)
            if key != last and parts:
                yield last, parts
                parts = {}
            last = key
            if part is None:
                yield key, Problem(Defect.IGNORED_MEMBER, shard, step.name)
            elif part in parts:
                yield key, Problem(Defect.DUPLICATE_KEY, shard, key)
            else:
                parts[part] = step.payload
        elif isinstance(step, Damage):
            yield "", Problem(step.defect, shard, f"byte {step.offset}")
        else:
            holds_something = step.content.strip(b"\0")
            yield "", what_else(step.content, shard) if holds_something else Problem(Defect.EMPTY_SHARD, shard)
    if parts:
        yield last, parts


def _checked(key: str, parts: Parts, needs: Needs) -> StreamSample:
    """As an index of shards would have it: what is wrong with captions and labels costs who needs them a sample."""
    if "image" not in parts:
        raise _UnusableError(Defect.MISSING_IMAGE)
    sides = _sides(parts["image"])
    meta = _meta(parts["meta"]) if "meta" in parts else {}
    for name in sorted(needs.json):
        if meta.get(name) is None:
            raise _UnusableError(Defect.MISSING_KEY, name)
    caption, label = "", None
    with nullcontext() if needs.captions else suppress(_UnusableError):
        caption = _caption(parts)
    with nullcontext() if needs.classes is not None else suppress(_UnusableError):
        label = _label(parts, meta, MOST if needs.classes is None else needs.classes)
    return StreamSample(key, parts["image"] or b"", sides, caption, label, meta)


def _sides(payload: bytes | None) -> Sides:
    if payload is None:
        raise _UnusableError(Defect.OVERSIZED_IMAGE)
    found = image_sides(io.BytesIO(payload), MAX_PIXELS)
    if found is Defect.UNDECODABLE_IMAGE and (pixels := pixels_alone(payload)) is not None:
        found = image_sides(io.BytesIO(pixels), MAX_PIXELS)
    if isinstance(found, Defect):
        raise _UnusableError(found)
    return found


def _meta(payload: bytes | None) -> dict[str, Any]:
    if payload is None or len(payload) > MOST_JSON_BYTES:
        raise _UnusableError(Defect.OVERSIZED_JSON)
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _UnusableError(Defect.BROKEN_JSON)
    return content


def _caption(parts: Parts) -> str:
    if "caption" not in parts:
        raise _UnusableError(Defect.MISSING_CAPTION)
    payload = parts["caption"]
    if payload is None or len(payload) > MOST_TEXT_BYTES:
        raise _UnusableError(Defect.OVERSIZED_CAPTION)
    try:
        text = payload.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise _UnusableError(Defect.UNDECODABLE_CAPTION) from error
    if "\0" in text or not text:
        raise _UnusableError(Defect.NUL_CAPTION if text else Defect.EMPTY_CAPTION)
    return text


def _label(parts: Parts, meta: dict[str, Any], classes: int) -> int:
    payload = parts.get("label")
    label, flaw = read_label(None if payload is None else payload[:MOST_LABEL_BYTES], meta)
    if flaw is not None and flaw is not Defect.OTHER_LABEL:
        raise _UnusableError(flaw)
    if label >= classes:
        raise _UnusableError(Defect.NO_CLASS, f"label {label} of {classes} classes")
    return label
