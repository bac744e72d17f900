"""Write single shards in the layout that img2dataset writes for LAION.

    <root>/dataset.json             name, configuration, counts, licence, fingerprint, complete
    <root>/<split>/00000.tar        KEY.png|jpg|webp, KEY.json, KEY.txt (and KEY.cls) for every sample
    <root>/<split>/00000_stats.json written last: a tar without it is incomplete

KEY is five digits of the shard followed by the digits of the sample. img2dataset's parquet (one row a sample, the
same columns as the json, also for failed downloads) is left out: it would add pyarrow as a dependency; what could not
be used is listed in the statistics. `sha256` in the json is of the stored image's bytes, so it verifies them.

A tar's bytes depend on the source alone: neither on the number of workers nor on the clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ldmlab.atomic import atomic_file, write_json
from ldmlab.data.sample_source import Encoded, Sample, SampleSource, UnusableError
from ldmlab.data.writing.claim import digest_of
from ldmlab.files import read_text

LAYOUT_VERSION = 1
_ENCODERS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 1},
    "jpg": {"format": "JPEG", "quality": 95},
    "webp": {"format": "WEBP", "lossless": True, "method": 2},
}


def encode_image(image: Image.Image, image_format: str) -> bytes:
    """Encode as "png" (lossless), "jpg" (quality 95) or "webp" (lossless)."""
    if image_format not in _ENCODERS:
        raise ValueError(f"image_format='{image_format}' is unknown; use one of {', '.join(_ENCODERS)}")
    buffer = io.BytesIO()
    image.save(buffer, **_ENCODERS[image_format])
    return buffer.getvalue()


def fingerprint(source: SampleSource, shard_size: int) -> str:
    """Hash everything that decides the bytes of the shards."""
    facts = {"layout": LAYOUT_VERSION, "name": source.name, "config": source.config(), "shard_size": shard_size}
    return digest_of(facts)


@dataclass(frozen=True)
class ShardWriter:
    """Writes single shards of a dataset; it pickles, so that any process can write any shard.

    Args:
        source: where the samples come from.
        root: folder of the dataset; the split's folder must exist.
        shard_size: samples a shard.
    """

    source: SampleSource
    root: Path
    shard_size: int

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides the bytes of the shards; it takes long where a source has many files."""
        return fingerprint(self.source, self.shard_size)

    def shards(self, split: str) -> int:
        """Return the number of shards of a split."""
        return -(-self.source.count(split) // self.shard_size)

    def samples(self, split: str, shard: int) -> range:
        """Return the sample indices of a shard."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.source.count(split)))

    def stats(self, split: str, shard: int) -> dict[str, Any] | None:
        """Return the statistics of a complete shard, None if it is absent, incomplete or of another configuration."""
        tar, path = self._paths(split, shard)
        try:
            stats = json.loads(read_text(path))
            whole = stats["tar_bytes"] == tar.stat().st_size
            mine = stats["fingerprint"] == self.fingerprint
            whole &= isinstance(stats["tar_sha256"], str) and isinstance(stats["successes"], int)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return stats if whole and mine else None

    def write(self, split: str, shard: int) -> dict[str, Any]:
        """Write a shard and then its statistics, which are returned.

        Raises:
            OSError: the disk is full; no part of the shard is left.
        """
        tar, path = self._paths(split, shard)
        start = time.time()
        path.unlink(missing_ok=True)
        with atomic_file(tar) as file:
            problems = self._write_tar(file, split, shard)
            file.seek(0)
            digest, size = _sha256(file), file.tell()
        stats = self._statistics(len(self.samples(split, shard)), problems, start, time.time())
        stats |= {"tar_bytes": size, "tar_sha256": digest}
        write_json(path, stats)
        return stats

    def _paths(self, split: str, shard: int) -> tuple[Path, Path]:
        folder = self.root / split
        return folder / f"{shard:05d}.tar", folder / f"{shard:05d}_stats.json"

    def _write_tar(self, file: BinaryIO, split: str, shard: int) -> list[UnusableError]:
        """Write the samples, and return those that there are none of."""
        unusable = []
        digits = len(str(self.shard_size - 1))
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for position, index in enumerate(self.samples(split, shard)):
                key = f"{shard:05d}{position:0{digits}d}"
                try:
                    sample = self.source.sample(split, index)
                except UnusableError as problem:
                    unusable.append(problem)
                    continue
                for extension, content in sorted(self._members(key, sample).items()):
                    _add_member(tar, f"{key}.{extension}", content)
        return unusable

    def _members(self, key: str, sample: Sample) -> dict[str, bytes]:
        image = sample.encoded or Encoded(
            self.source.image_format, encode_image(sample.image, self.source.image_format)
        )
        row = _columns(key, sample, hashlib.sha256(image.payload).hexdigest())
        members = {image.extension: image.payload, "json": json.dumps(row, ensure_ascii=False).encode()}
        if sample.caption:
            members["txt"] = sample.caption.encode()
        if sample.label is not None:
            members["cls"] = str(sample.label).encode()
        return members

    def _statistics(self, count: int, problems: list[UnusableError], start: float, end: float) -> dict[str, Any]:
        successes = count - len(problems)
        causes = Counter(str(problem.defect) for problem in problems)
        return {
            "count": count,
            "successes": successes,
            "failed_to_download": 0,
            "failed_to_resize": len(problems),
            "duration": end - start,
            "start_time": start,
            "end_time": end,
            "status_dict": {"success": successes, **causes},
            "unusable": [[str(problem.defect), problem.name, problem.detail] for problem in problems],
            "fingerprint": self.fingerprint,
        }


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _columns(key: str, sample: Sample, sha256: str) -> dict[str, Any]:
    width, height = sample.image.size
    standard = {
        "caption": sample.caption,
        "url": "",
        "key": key,
        "status": "success",
        "error_message": None,
        "width": width,
        "height": height,
        "original_width": width,
        "original_height": height,
        "exif": "{}",
        "sha256": sha256,
    }
    return standard | sample.meta


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o444
    tar.addfile(member, io.BytesIO(content))
