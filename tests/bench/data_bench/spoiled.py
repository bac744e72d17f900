"""Shards as a crawl leaves them: pictures with all kinds of defects, and such as look odd and are good."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

Members = list[tuple[str, bytes]]
Change = Callable[[Members], Members]
BLOCK = 512


@dataclass
class Spoiled:
    """What was written.

    Attributes:
        folder: of the shards.
        good: keys of the samples that can be used.
        bad: keys of the others, each with what is wrong with it.
        odd: keys of good samples, each with what is odd about it.
    """

    folder: Path
    good: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)


def _file(mode: str, size: tuple[int, int], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _sixteen_bit() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((20, 20), 60).convert("I").point(lambda value: value * 257).convert("I;16").save(buffer, "PNG")
    return buffer.getvalue()


def _part(extension: str, content: bytes | None = None, change: Callable[[bytes], bytes] | None = None) -> Change:
    """Puts something else in the place of a part of a sample, or leaves it out."""

    def changed(members: Members) -> Members:
        others = {name: change(old) if change else content for name, old in members if name.endswith(extension)}
        own = [(name, others.get(name, old)) for name, old in members]
        return [(name, payload) for name, payload in own if payload is not None]

    return changed


BAD: dict[str, Change] = {
    "cut off picture": _part("jpg", change=lambda old: old[: len(old) // 2]),
    "empty picture": _part("jpg", b""),
    "web page": _part("jpg", b"<!DOCTYPE html><title>403</title>"),
    "GIF": _part("jpg", _file("P", (8, 8), "GIF")),
    "bomb": _part("jpg", _bomb()),
    "no picture": _part("jpg"),
    "no caption": _part("txt"),
    "empty caption": _part("txt", b" \n"),
    "latin-1 caption": _part("txt", "café".encode("latin-1")),
    "UTF-16 caption": _part("txt", "a star".encode("utf-16-le")),
    "endless caption": _part("txt", b"a" * 70_000),
    "broken json": _part("json", b'{"key": '),
    "json that is a list": _part("json", b"[1]"),
    "endless json": _part("json", b'{"a": "' + b"a" * 2**20 + b'"}'),
    "damaged header": lambda members: members,  # by `_flip`
}
"""What is wrong with a sample, and how it comes about."""
ODD: dict[str, Change] = {
    "CMYK": _part("jpg", _file("CMYK", (20, 20), "JPEG")),
    "grey": _part("jpg", _file("L", (20, 20), "JPEG")),
    "palette": _part("jpg", _file("P", (20, 20), "PNG")),
    "16 bits": _part("jpg", _sixteen_bit()),
    "PNG called jpg": _part("jpg", _file("RGB", (20, 20), "PNG")),
    "WebP called jpg": _part("jpg", _file("RGB", (20, 20), "WEBP")),
    "EXIF rotation": _part("jpg", _file("RGB", (20, 10), "JPEG", exif=_exif())),
    "1x1": _part("jpg", _file("RGB", (1, 1), "JPEG")),
    "4000x8": _part("jpg", _file("RGB", (4000, 8), "JPEG")),
    "transparent": _part("jpg", _file("LA", (20, 20), "PNG")),
    "no json": _part("json"),
    "byte order mark": _part("txt", b"\xef\xbb\xbfa star"),
    "capitals": lambda members: [(name.replace("jpg", "JPG"), payload) for name, payload in members],
    "another order": lambda members: members[::-1],
    "twice the same key": lambda members: [*members, *members],
    "GNU or pax name": lambda members: [("long/" * 30 + name, payload) for name, payload in members],
}
"""What is odd about a sample that is good."""


def write(folder: Path, pictures: Iterable[bytes], in_each: int = 100, each: int = 4) -> Spoiled:
    """Write pictures (JPEG) to shards, of which one of `each` is odd or bad, in turns.

    A last pair of shards is cut off in its last sample, and a web page; members of two samples lie between each other
    where they are in another order.
    """
    found, kinds = Spoiled(folder), [*BAD, *ODD]
    folder.mkdir(parents=True, exist_ok=True)
    shard: list[Members] = []
    for number, picture in enumerate(pictures):
        key = f"{number // in_each:05d}{number % in_each:04d}"
        kind = kinds[number // each % len(kinds)] if number % each == 0 else ""
        shard.append(_sample(found, key, picture, kind))
        if number % in_each == in_each - 1:
            _close(found, number // in_each, shard)
            shard = []
    if shard:
        _close(found, (number // in_each), shard)
    last = folder / f"{number // in_each + 1:05d}.tar"
    last.write_bytes(b"<!DOCTYPE html>" * 100)
    found.bad[last.name] = "web page"
    return found


def _sample(found: Spoiled, key: str, picture: bytes, kind: str) -> Members:
    meta = json.dumps({"key": key, "width": 64}).encode()
    members = [(f"{key}.jpg", picture), (f"{key}.txt", f"picture {key}".encode()), (f"{key}.json", meta)]
    name = "long/" * 30 + key if kind == "GNU or pax name" else key
    if kind in BAD:
        found.bad[name] = kind
        return BAD[kind](members)
    found.good.append(name)
    if kind:
        found.odd[name] = kind
        return ODD[kind](members)
    return members


def _close(found: Spoiled, number: int, shard: list[Members]) -> None:
    """Write a shard; odd ones in the format of pax, and flip a bit where a header is to be damaged."""
    path = found.folder / f"{number:05d}.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT if number % 2 else tarfile.GNU_FORMAT) as archive:
        for name, payload in (member for members in _mixed(found, shard) for member in members):
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            archive.addfile(info, io.BytesIO(payload))
    data = bytearray(path.read_bytes())
    for key, kind in found.bad.items():
        if kind == "damaged header" and (at := data.find(f"{key}.jpg".encode())) >= 0:
            data[at - at % BLOCK + 125] ^= 1
    path.write_bytes(data)


def _mixed(found: Spoiled, shard: list[Members]) -> Iterator[Members]:
    """The samples, those of which the members are in another order mixed with the next one's."""
    rest = iter(shard)
    for members in rest:
        key = members[0][0].partition(".")[0]
        if found.odd.get(key) == "another order":
            following = next(rest, [])
            yield [*members[:1], *following, *members[1:]]
        else:
            yield members
