"""Read one shard's table of contents and check every sample without decoding its pixels."""

from __future__ import annotations

import io
import json
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ldmlab.data.decoding.png_chunks import SIGNATURE, pixels_alone
from ldmlab.data.index.sample_table import MOST_IMAGE_BYTES, MOST_JSON_BYTES, SampleRow, SampleTable
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.shards.file_view import CHUNK, FileView, SpanReader
from ldmlab.data.shards.labels import read_label
from ldmlab.data.shards.shard_files import OURS
from ldmlab.data.shards.tar_walk import Damage, Member, walk
from ldmlab.files import kind_of, read_regular

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
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
HEADER = 4096
"""Bytes of an image that are read at once."""
STARTS = {
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ\x00": "compressed by xz: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"PK\x03\x04": "a zip archive: unpack it, and pack it as tar",
    b"version ": "a pointer of Git LFS: fetch the file with `git lfs pull`",
    b"<": "a web page, such as a download that was refused: fetch it again",
}


@dataclass(slots=True)
class ShardScan:
    """What was found in one shard without decoding a pixel.

    Attributes:
        table: its samples in file order.
        problems: what is wrong with it.
        size: of the file in bytes, and `time` when it was written (ns).
        lasting: only another file could give another scan.
    """

    table: SampleTable
    problems: list[Problem]
    size: int = 0
    time: int = 0
    lasting: bool = True


def scan_shard(path: Path, max_pixels: int = MAX_PIXELS) -> ShardScan:
    """Walk a tar, join its members by key (adjacent or not), and check each sample; whatever is wrong is named.

    Raises:
        OSError: the process has too many files open, or no memory.
    """
    scan = _Scan(path.name, max_pixels)
    try:
        with warnings.catch_warnings(action="ignore"), FileView(path) as data:
            scan.read(data)
            count = _promised(path)
    except OSError as error:
        if error.errno in OURS:
            raise
        problem = Problem(Defect.UNREADABLE_SHARD, path.name, detail=_why(error, path))
        return ShardScan(SampleTable.of([]), [problem], lasting=False)
    rows = [row for key, sample in scan.samples.items() if (row := scan.check(key, sample)) is not None]
    found = sum("image" in sample for sample in scan.samples.values())
    if count is not None and count != found and scan.samples:
        scan.report(Defect.OTHER_COUNT, detail=f"{found} images of {count}")
    return ShardScan(SampleTable.of(rows), scan.problems, len(data), data.time)


@dataclass(slots=True)
class _Scan:
    """A shard on its way through: what each key's parts hold, where they could be read, or what is wrong with them."""

    shard: str
    max_pixels: int
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
            key, part = _split_name(item)
            if part is None:
                self.report(Defect.IGNORED_MEMBER, item.name)
            elif part in self.samples.setdefault(key, {}):
                duplicates[key] = None
            else:
                self.samples[key][part] = self._part(part, data, item)
        if not members:
            self.problems = [_what_else(data, self.shard)]
        for key in duplicates:
            self.report(Defect.DUPLICATE_KEY, key)

    def _part(self, part: str, data: FileView, member: Member) -> Any:
        if part == "image":
            return _check_image(data, member, self.max_pixels) or (member.offset, member.size)
        if part == "caption":
            return _read_caption(data, member)
        if part == "meta":
            return _read_json(data, member)
        return data[member.offset : member.offset + min(member.size, MOST_LABEL_BYTES)]

    def check(self, key: str, sample: dict[str, Any]) -> SampleRow | None:
        """Return the sample's row; None, with a report, where it has no image that can be read, or a broken json."""
        image, meta = sample.get("image", Defect.MISSING_IMAGE), sample.get("meta", ({}, -1, 0))
        for part in (image, meta):
            if isinstance(part, Defect):
                self.report(part, key)
                return None
        caption = sample.get("caption", Defect.MISSING_CAPTION)
        words, caption_flaw = ("", caption) if isinstance(caption, Defect) else (caption, None)
        content, *place = meta
        label, label_flaw = read_label(sample.get("label"), content)
        return SampleRow(key, words, caption_flaw, label, label_flaw, *image, *place)


def _split_name(member: Member) -> tuple[str, str | None]:
    """Split as WebDataset does: the key ends at the first dot of the base name. The part is None if not ours."""
    folder, _, base = member.name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    key = f"{folder}/{stem}" if folder else stem
    return key, PARTS.get(extension.lower()) if member.regular and stem else None


def _read_caption(data: FileView, member: Member) -> str | Defect:
    if member.size > MOST_TEXT_BYTES:
        return Defect.OVERSIZED_CAPTION
    try:
        caption = data[member.offset : member.offset + member.size].decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return Defect.UNDECODABLE_CAPTION
    return Defect.NUL_CAPTION if "\0" in caption else caption or Defect.EMPTY_CAPTION


def _read_json(data: FileView, member: Member) -> tuple[dict[str, Any], int, int] | Defect:
    """Return what is read of it now, and where it is. It holds many columns, of which only the label is needed."""
    if member.size > MOST_JSON_BYTES:
        return Defect.OVERSIZED_JSON
    try:
        content = json.loads(data[member.offset : member.offset + member.size])
    except (ValueError, RecursionError):
        return Defect.BROKEN_JSON
    if not isinstance(content, dict):
        return Defect.BROKEN_JSON
    label = content.get("label")
    return {"label": label if label is None or isinstance(label, int) else ""}, member.offset, member.size


def _check_image(data: FileView, member: Member, max_pixels: int) -> Defect | None:
    if member.size > MOST_IMAGE_BYTES:
        return Defect.OVERSIZED_IMAGE
    defect = check_image_header(io.BufferedReader(SpanReader(data, member.offset, member.size), HEADER), max_pixels)
    if defect is Defect.UNDECODABLE_IMAGE and data[member.offset : member.offset + len(SIGNATURE)] == SIGNATURE:
        pixels = pixels_alone(data[member.offset : member.offset + member.size])
        return check_image_header(io.BytesIO(pixels or b""), max_pixels)
    return defect


def check_image_header(file: BinaryIO, max_pixels: int) -> Defect | None:
    """Return what an image's header alone says against it: unreadable, or more pixels than allowed."""
    try:
        with Image.open(file, formats=IMAGE_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return Defect.OVERSIZED_IMAGE
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk, not of the image
        return Defect.UNDECODABLE_IMAGE
    except Exception:  # a codec raises whatever it likes on damaged bytes
        return Defect.UNDECODABLE_IMAGE
    return Defect.OVERSIZED_IMAGE if width * height > max_pixels else None


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


def _what_else(data: FileView, shard: str) -> Problem:
    """What a file is that holds no member of a tar."""
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not data[:CHUNK].strip(b"\0"):
        return Problem(Defect.EMPTY_SHARD, shard, detail=f"{len(data):,} bytes" + (", all zero" if len(data) else ""))
    what = next((what for start, what in STARTS.items() if head.startswith(start)), "it has no tar header")
    return Problem(Defect.NO_ARCHIVE, shard, detail=what)


def _why(error: OSError, path: Path) -> str:
    """Why a file cannot be read, in a few words."""
    with suppress(OSError):
        if (kind := kind_of(path)) is not None:
            return kind
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return "a link to nothing"
    return (error.strerror or str(error)).lower()
