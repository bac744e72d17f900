"""Read one shard's table of contents and check every sample without decoding its pixels."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image

from ldmlab.data.problems import Defect, Problem
from ldmlab.data.tar_walk import Buffer, Damage, Member, walk

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
PARTS = {"jpg": "image", "jpeg": "image", "png": "image", "webp": "image", "txt": "caption", "json": "meta"}
MAX_PIXELS = 2**26
"""Images with more pixels than this (67 megapixels) are refused before they are decoded."""


@dataclass(frozen=True, slots=True)
class Span:
    """`size` bytes from byte `offset` of a shard."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A usable sample: its key, its caption, and where in shard number `shard` its image and json lie."""

    shard: int
    key: str
    caption: str
    image: Span
    meta: Span | None


@dataclass(slots=True)
class ShardScan:
    """The usable samples of a shard in file order, its problems, and how many members it holds."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    members: int = 0


def scan_shard(path: Path, number: int, max_pixels: int = MAX_PIXELS) -> ShardScan:
    """Walk a tar, join its members by key (adjacent or not), and check each sample.

    Raises:
        ValueError: the shard has no bytes or no members.
        OSError: the shard cannot be read.
    """
    size = path.stat().st_size
    scan = ShardScan()
    if size:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for key, parts in _join_members(data, path.name, scan).items():
                checked = _check_sample(data, parts, key, number, max_pixels)
                if isinstance(checked, Defect):
                    scan.problems.append(Problem(checked, path.name, key))
                else:
                    scan.entries.append(checked)
    if not scan.members and not scan.problems:
        raise ValueError(
            f"shard {path} is empty ({size} bytes, no samples): delete it, or write it again with"
            " `ldmlab data dataset=shapes`"
        )
    return scan


def _join_members(data: Buffer, shard: str, scan: ShardScan) -> dict[str, dict[str, Span]]:
    """Return the parts of each key; the first of each part counts, and the others are reported."""
    samples: dict[str, dict[str, Span]] = {}
    duplicates: dict[str, None] = {}
    for item in walk(data):
        if isinstance(item, Damage):
            defect = Defect.TRUNCATED_SHARD if item.truncated else Defect.DAMAGED_HEADER
            scan.problems.append(Problem(defect, shard, f"byte {item.offset}"))
            continue
        scan.members += 1
        key, part = _split_name(item)
        if part is None:
            scan.problems.append(Problem(Defect.IGNORED_MEMBER, shard, item.name))
        elif part in samples.setdefault(key, {}):
            duplicates[key] = None
        else:
            samples[key][part] = Span(item.offset, item.size)
    scan.problems.extend(Problem(Defect.DUPLICATE_KEY, shard, key) for key in duplicates)
    return samples


def _split_name(member: Member) -> tuple[str, str | None]:
    """Split as WebDataset does: the key ends at the first dot of the base name. The part is None if not ours."""
    folder, _, base = member.name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    key = f"{folder}/{stem}" if folder else stem
    return key, PARTS.get(extension.lower()) if member.regular and stem else None


def _check_sample(data: Buffer, parts: dict[str, Span], key: str, number: int, max_pixels: int) -> Entry | Defect:
    """Return the entry, or the first defect found."""
    if "image" not in parts:
        return Defect.MISSING_IMAGE
    if "caption" not in parts:
        return Defect.MISSING_CAPTION
    try:
        caption = _payload(data, parts["caption"]).decode("utf-8").strip()
    except UnicodeDecodeError:
        return Defect.UNDECODABLE_CAPTION
    if not caption:
        return Defect.EMPTY_CAPTION
    if "meta" in parts and not _is_json_object(_payload(data, parts["meta"])):
        return Defect.BROKEN_JSON
    defect = check_image_header(_payload(data, parts["image"]), max_pixels)
    return defect or Entry(number, key, caption, parts["image"], parts.get("meta"))


def check_image_header(payload: bytes, max_pixels: int) -> Defect | None:
    """Return what an image's header alone says against it: unreadable, or more pixels than allowed."""
    try:
        with Image.open(BytesIO(payload), formats=IMAGE_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return Defect.OVERSIZED_IMAGE
    except Exception:  # a codec raises whatever it likes on damaged bytes
        return Defect.UNDECODABLE_IMAGE
    return Defect.OVERSIZED_IMAGE if width * height > max_pixels else None


def _is_json_object(payload: bytes) -> bool:
    try:
        return isinstance(json.loads(payload), dict)
    except (ValueError, RecursionError):
        return False


def _payload(data: Buffer, span: Span) -> bytes:
    return data[span.offset : span.offset + span.size]
