"""The first samples of a stream, held in memory: to look at before training, or to validate on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset

from ldmlab.data.decoding.decode import decode_image
from ldmlab.data.decoding.decoders import Decoder
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.record_rows import RecordRows
from ldmlab.data.index.json_keys import needed_of
from ldmlab.data.needs import Needs
from ldmlab.data.problems import Problem, summarise
from ldmlab.data.shard_dataset import Described, ImageSample, signed
from ldmlab.data.streams.entries import StreamSample
from ldmlab.data.streams.opening import require_answer
from ldmlab.data.streams.source import ALL, StreamSource

MOST_SHARDS = 8
"""Without a single sample, after which no more are tried."""
MOST_PROBLEMS = 1000
"""That are kept of those that were found on the way."""
LOOKED_AT = 100
"""Samples, of which one has to have what a filter asks for."""


class First(NamedTuple):
    """The first samples of a stream.

    Attributes:
        samples: as they came.
        passed: by the number of a shard, how many of its entries were passed; more than it has, where all were.
    """

    samples: list[StreamSample]
    passed: Mapping[int, int]


def first_samples(source: StreamSource, count: int, key: str, decoder: Decoder) -> First:
    """Read the first samples of a stream, in the order of its shards, or all where there are fewer.

    Args:
        source: the shards.
        count: how many are wanted.
        key: that names the urls, for messages.
        decoder: that decodes them.

    Raises:
        ValueError: there is none.
    """
    found = list(islice(_usable(source, key, decoder), count))
    samples = [sample for _, _, sample in found]
    if len(found) < count:
        return First(samples, dict.fromkeys(range(len(source.urls)), ALL))
    shard, entry, _ = found[-1]
    return First(samples, {**dict.fromkeys(range(shard), ALL), shard: entry + 1})


def first_captions(source: StreamSource, count: int, key: str) -> list[str]:
    """The captions of the first samples of a stream; as `first_samples`."""
    return [sample.caption for _, _, sample in islice(_usable(source, key), count)]


def _usable(source: StreamSource, key: str, decoder: Decoder | None = None) -> Iterator[tuple[int, int, StreamSample]]:
    """The samples of a stream with the numbers of their shards and entries; those that are decoded, if that is asked.

    Raises:
        ValueError: there is none in the first `MOST_SHARDS` shards.
    """
    problems: list[Problem] = []
    is_empty = True
    require_answer(source.urls[0], key)
    if source.filter is not None:
        _require_fields(source, source.filter)
    shards = source.shards()
    for read, shard in enumerate(shards, 1):
        for entry, found in source.entries(shard, patient=False):
            if isinstance(found, Problem):
                problems += [found] if len(problems) < MOST_PROBLEMS else []
            elif decoder is None or is_decodable(found, decoder):
                is_empty = False
                yield shard, entry, found
        if is_empty and read in (MOST_SHARDS, len(shards)):
            raise ValueError(_why_none(source, key, read, problems))
    if not shards:
        raise ValueError(f"data.val_samples: sets all samples of {source.urls[0]} and the others aside; give fewer")


def _require_fields(source: StreamSource, filter: Filter) -> None:
    """Refuse a filter that asks for what none of the first samples has."""
    found = (each for _, each in replace(source, filter=None).entries(0, patient=False))
    samples = [each for each in islice(found, LOOKED_AT) if isinstance(each, StreamSample)]
    known = set().union(*(RecordRows(each.meta, each.caption, each.sides).names for each in samples))
    if samples:
        filter.require_fields(known, f"none of the first {len(samples)} samples of {source.urls[0]}")


def is_decodable(sample: StreamSample, decoder: Decoder) -> bool:
    """Whether its image is whole."""
    try:
        decode_image(sample.image, 1, decoder=decoder)
    except Exception:  # a codec raises whatever it likes on damaged bytes
        return False
    return True


def _why_none(source: StreamSource, key: str, read: int, problems: Sequence[Problem]) -> str:
    shards = f"its {read} shard{'s' if read > 1 else ''}" if read == len(source.urls) else f"its first {read} shards"
    left_out = "; the filter leaves all others out" if source.filter is not None else ""
    left_out += "; data.val_samples sets the first ones aside" if source.reserved else ""
    return f"{key}={source.urls[0]}: no usable sample in {shards} ({summarise(problems)}{left_out}); give others"


class HeldSamples(Dataset[ImageSample]):
    """Samples that are held as they came, and decoded when they are asked for.

    Args:
        samples: whose images can be decoded.
        needs: what batches have of their json.
        image_size: side of the square images in pixels.
        decoder: of the images.
    """

    def __init__(self, samples: Sequence[StreamSample], needs: Needs, image_size: int, decoder: Decoder) -> None:
        self.samples = samples
        self.needs = needs
        self.image_size = image_size
        self.decoder = decoder

    @property
    def fingerprint(self) -> str:
        """SHA-256 of their images and captions."""
        digest = hashlib.sha256()
        for sample in self.samples:
            for part in (sample.key.encode(), sample.image, sample.caption.encode()):
                digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def meta(self, row: int) -> dict[str, Any]:
        """Return the json of a sample, {} where it has none."""
        return self.samples[row].meta

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> ImageSample:
        """Return a sample."""
        found = self._bytes(number)
        found["image"] = signed(found["image"])
        return found

    def __getitems__(self, numbers: Sequence[int]) -> list[ImageSample]:
        """Return samples with images of bytes, as a DataLoader asks for them."""
        return [self._bytes(number) for number in numbers]

    def _bytes(self, number: int) -> ImageSample:
        sample = self.samples[number]
        pixels = decode_image(sample.image, self.image_size, decoder=self.decoder)
        return ImageSample(image=torch.from_numpy(pixels).permute(2, 0, 1), **self.described(number))

    def described(self, number: int) -> Described:
        """What is known of a sample beside its image."""
        sample = self.samples[number]
        columns = needed_of(sample.meta, self.needs)
        return Described(caption=sample.caption, label=sample.label, key=sample.key, row=number, columns=columns)
