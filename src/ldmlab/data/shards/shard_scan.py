"""Read one shard's table of contents and check every sample without decoding its pixels."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ldmlab.data.index.field_column import short
from ldmlab.data.index.fields import SIDES, parse
from ldmlab.data.index.sample_table import MOST_JSON_BYTES, SampleRow, SampleTable
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shards.depth import SHALLOW, Depth
from ldmlab.data.shards.file_view import FileView
from ldmlab.data.shards.image_header import IMAGE_FORMATS, check_image, check_image_header
from ldmlab.data.shards.labels import read_label
from ldmlab.data.shards.parquet import compare_with_parquet
from ldmlab.data.shards.shard_files import OURS
from ldmlab.data.shards.tar_walk import Damage, Member, walk
from ldmlab.data.shards.unusable import what_else, why_unreadable
from ldmlab.files import read_regular

__all__ = ["IMAGE_FORMATS", "MAX_PIXELS", "ShardScan", "check_image_header", "scan_shard", "stats_path"]

PARTS = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp"), "image"),
    "txt": "caption",
    "json": "meta",
    "cls": "label",
}
MAX_PIXELS = 2**26
"""Images with more pixels than this (67 megapixels) are refused before they are decoded."""
MOST_TEXT_BYTES = 2**16
MOST_LABEL_BYTES = 64
MOST_STATS_BYTES = 2**20


@dataclass(slots=True)
class ShardScan:
    """What was found in one shard.

    Attributes:
        table: its samples in file order.
        problems: what is wrong with it.
        size: of the file in bytes, and `time` when it was written (ns).
        lasting: only another file could give another scan.
        depth: what was looked at.
    """

    table: SampleTable
    problems: list[Problem]
    size: int = 0
    time: int = 0
    lasting: bool = True
    depth: Depth = SHALLOW


def scan_shard(path: Path, max_pixels: int = MAX_PIXELS, depth: Depth = SHALLOW) -> ShardScan:
    """Walk a tar, join its members by key (adjacent or not), and check each sample; whatever is wrong is named.

    Raises:
        OSError: the process has too many files open, or no memory.
    """
    scan = _Scan(path.name, max_pixels, depth)
    try:
        with warnings.catch_warnings(action="ignore"), FileView(path) as data:
            scan.read(data)
            count = _promised(path)
    except OSError as error:
        if error.errno in OURS:
            raise
        problem = Problem(Defect.UNREADABLE_SHARD, path.name, detail=why_unreadable(error, path))
        return ShardScan(SampleTable.of([]), [problem], lasting=False, depth=depth)
    rows = [row for key, sample in scan.samples.items() if (row := scan.check(key, sample)) is not None]
    found = sum("image" in sample for sample in scan.samples.values())
    if count == 0 and not found:  # nothing of it could be fetched
        scan.problems = [problem for problem in scan.problems if problem.defect is not Defect.EMPTY_SHARD]
    if count is not None and count != found and scan.samples:
        scan.report(Defect.OTHER_COUNT, detail=f"{found} images of {count}")
    if depth.parquet:
        scan.problems += compare_with_parquet(path, {key for key, sample in scan.samples.items() if "image" in sample})
    return ShardScan(SampleTable.of(rows), scan.problems, len(data), data.time, depth=depth)


@dataclass(slots=True)
class _Scan:
    """A shard on its way through: what each key's parts hold, where they could be read, or what is wrong with them."""

    shard: str
    max_pixels: int
    depth: Depth
    problems: list[Problem] = field(default_factory=list)
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)

    def report(self, defect: Defect, key: str = "", detail: str = "") -> None:
        self.problems.append(Problem(defect, self.shard, key, detail))

    def read(self, data: FileView) -> None:
        """Go through the members; the first of each part of a key counts, and the others are reported."""
        duplicates: dict[str, None] = {}
        members = 0
        for item in walk(data):
            if isinstance(item, Damage):
                self.report(item.defect, f"byte {item.offset}")
                continue
            members += 1
            key, part = split_name(item.name, item.regular)
            if part is None:
                self.report(Defect.IGNORED_MEMBER, item.name)
            elif part in self.samples.setdefault(key, {}):
                duplicates[key] = None
            else:
                self.samples[key][part] = self._part(part, data, item)
        if not members:
            self.problems = [what_else(data, self.shard)]
        for key in duplicates:
            self.report(Defect.DUPLICATE_KEY, key)

    def _part(self, part: str, data: FileView, member: Member) -> Any:
        if part == "image":
            return self._image(data, member)
        if part == "caption":
            return _read_caption(data, member)
        if part == "meta":
            return _read_json(data, member)
        return data[member.offset : member.offset + min(member.size, MOST_LABEL_BYTES)]

    def _image(self, data: FileView, member: Member) -> _Image | Defect:
        sides = check_image(data, member, self.max_pixels)
        if isinstance(sides, Defect) or not (self.depth.checksums or self.depth.decode):
            return sides if isinstance(sides, Defect) else _Image((member.offset, member.size), sides)
        payload = data[member.offset : member.offset + member.size]
        why = why_not_decoded(payload) if self.depth.decode else None
        return _Image((member.offset, member.size), sides, zlib.crc32(payload) if self.depth.checksums else 0, why)

    def check(self, key: str, sample: dict[str, Any]) -> SampleRow | None:
        """Return the sample's row; None, with a report, where it has no image that can be read, or a broken json."""
        image, meta = sample.get("image", Defect.MISSING_IMAGE), sample.get("meta", _Json())
        for part in (image, meta):
            if isinstance(part, Defect):
                self.report(part, key)
                return None
        if image.why is not None:
            self.report(Defect.UNDECODABLE_PIXELS, key, image.why)
        caption = sample.get("caption", Defect.MISSING_CAPTION)
        words, caption_flaw = ("", caption) if isinstance(caption, Defect) else (caption, None)
        label, label_flaw = read_label(sample.get("label"), {"label": meta.label})
        fields = {**meta.fields, **dict(zip(SIDES, image.sides, strict=True))}
        return SampleRow(key, words, caption_flaw, label, label_flaw, image.place, meta.place, image.checksum, fields)


class _Image(NamedTuple):
    """Where an image lies, its sides, its crc32 where it was asked for, and why it cannot be decoded."""

    place: tuple[int, int]
    sides: tuple[int, int]
    checksum: int = 0
    why: str | None = None


class _Json(NamedTuple):
    """Where a json lies, what it says of the label, and what columns hold of it."""

    place: tuple[int, int] = (-1, 0)
    label: Any = None
    fields: Mapping[str, Any] = MappingProxyType({})


def split_name(name: str, regular: bool) -> tuple[str, str | None]:
    """Split as WebDataset does: the key ends at the first dot of the base name. The part is None if not ours.

    Args:
        name: of a member.
        regular: whether it is a file.
    """
    folder, _, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    key = f"{folder}/{stem}" if folder else stem
    return key, PARTS.get(extension.lower()) if regular and stem else None


def _read_caption(data: FileView, member: Member) -> str | Defect:
    if member.size > MOST_TEXT_BYTES:
        return Defect.OVERSIZED_CAPTION
    try:
        caption = data[member.offset : member.offset + member.size].decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return Defect.UNDECODABLE_CAPTION
    return Defect.NUL_CAPTION if "\0" in caption else caption or Defect.EMPTY_CAPTION


def _read_json(data: FileView, member: Member) -> _Json | Defect:
    if member.size > MOST_JSON_BYTES:
        return Defect.OVERSIZED_JSON
    content = parse(data[member.offset : member.offset + member.size])
    if content is None:
        return Defect.BROKEN_JSON
    label = content.get("label")
    label = label if label is None or isinstance(label, int) else ""
    return _Json((member.offset, member.size), label, short(content))


def why_not_decoded(payload: bytes) -> str | None:
    """Why the pixels of an image cannot be decoded; None where they can."""
    from ldmlab.data.decoding.decode import decode_rgb

    try:
        decode_rgb(payload)
    except Exception as error:  # a codec raises whatever it likes on damaged bytes
        return f"{type(error).__name__}: {error}"[:200]
    return None


def stats_path(shard: Path) -> Path:
    """The file in which img2dataset writes a shard's statistics, last of all."""
    return shard.with_name(f"{shard.stem}_stats.json")


def _promised(shard: Path) -> int | None:
    """How many samples the shard's statistics say that it has; None where they say nothing of it."""
    try:
        stats = json.loads(read_regular(stats_path(shard), MOST_STATS_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    count = stats.get("successes") if isinstance(stats, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) else None
