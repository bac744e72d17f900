"""One reader of a stream: its share of the shards, window by window mixed and decoded, round after round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from ldmlab.data.decoding.decode import decode_image
from ldmlab.data.decoding.decoders import Decoder, decoder_of
from ldmlab.data.problems import Defect, Problem
from ldmlab.data.streams.entries import StreamSample
from ldmlab.data.streams.order import BEGIN, Part, Place, Share, looks
from ldmlab.data.streams.source import StreamSource


@dataclass(frozen=True)
class Recipe:
    """How samples are mixed and seen.

    Attributes:
        image_size: side of the square images in pixels.
        seed: of the order.
        window: samples that a reader holds at a time to mix them; 1 leaves them in their order.
        flip: probability of a mirror image.
        random_crops: crop anywhere, and not in the centre.
        decoder: of the images.
    """

    image_size: int
    seed: int = 0
    window: int = 1
    flip: float = 0.0
    random_crops: bool = False
    decoder: Decoder = field(default_factory=decoder_of)


class ReadSample(NamedTuple):
    """A sample without its pixels, or the end of a round.

    Attributes:
        place: of the reader, once it is dealt with.
        problems: what was found to be wrong since the sample before.
        entry: its number within its shard.
        sample: without its image's file; None for the end of a round.
    """

    place: Place
    problems: tuple[Problem, ...]
    entry: int = 0
    sample: StreamSample | None = None


class Chunk(NamedTuple):
    """Samples in their order, with the images (n, H, W, 3) uint8 of those that are no end of a round."""

    samples: list[ReadSample]
    images: Tensor


class _Found(NamedTuple):
    """An entry where it lies: the number of its shard in the reader's share, and its own within the shard."""

    part: int
    entry: int
    what: StreamSample | Problem | None


class _Look(NamedTuple):
    """An entry as it is to be seen, and the reader's place once it was."""

    place: Place
    found: _Found
    url: str
    mirrored: bool
    crop: tuple[float, float]


class StreamReader(IterableDataset[Chunk]):
    """Reads without end, from a place on; the same place gives the same samples.

    Args:
        source: the shards.
        recipe: how samples are mixed and seen.
        share: which of the shards are this reader's.
        chunk: samples that are handed on at once.
        place: where to begin.
        first: the round in which what is wrong with samples is named.
    """

    def __init__(
        self, source: StreamSource, recipe: Recipe, share: Share, chunk: int, place: Place = BEGIN, first: int = 0
    ) -> None:
        self.source = source
        self.recipe = recipe
        self.share = share
        self.chunk = chunk
        self.place = place
        self.first = first

    def __iter__(self) -> Iterator[Chunk]:
        place = self.place
        for number in count(place.round):
            yield from self._round(place)
            place = Place(number + 1)

    def _round(self, start: Place) -> Iterator[Chunk]:
        samples: list[ReadSample] = []
        images: list[NDArray[np.uint8]] = []
        problems: list[Problem] = []
        for look in self._mixed(start):
            seen = self._seen(look)
            if isinstance(seen, Problem):
                if start.round == self.first or seen.defect is Defect.UNREADABLE_SHARD:
                    problems.append(seen)
                continue
            what, image = seen
            samples.append(ReadSample(look.place, tuple(problems), look.found.entry, what))
            images.append(image)
            problems = []
            if len(samples) == self.chunk:
                yield Chunk(samples, torch.from_numpy(np.stack(images)))
                samples, images = [], []
        samples.append(ReadSample(Place(start.round + 1), tuple(problems)))
        yield Chunk(samples, torch.from_numpy(np.stack(images)) if images else torch.empty(0))

    def _seen(self, look: _Look) -> tuple[StreamSample, NDArray[np.uint8]] | Problem:
        """A sample and its pixels, or what is wrong with it."""
        what, recipe = look.found.what, self.recipe
        if isinstance(what, Problem):
            return what
        assert what is not None
        try:
            pixels = decode_image(what.image, recipe.image_size, *look.crop, recipe.decoder)
        except Exception:  # a codec raises whatever it likes on damaged bytes
            return Problem(Defect.UNDECODABLE_IMAGE, look.url, what.key)
        return what._replace(image=b""), pixels[:, ::-1] if look.mirrored else pixels

    def _mixed(self, start: Place) -> Iterator[_Look]:
        """The entries of a round, window by window; while one is given out, the next one fills."""
        parts = self.share.parts(len(self.source.urls), self.recipe.seed, start.round)
        entries = self._found(parts, start)
        window, done = list(islice(entries, self.recipe.window)), start.done
        while window:
            begin = Place(start.round, window[0].part, window[0].entry)
            seen = looks(begin, self.share, len(window), self.recipe.seed, self.recipe.flip)
            following: list[_Found] = []
            for number, row in enumerate(seen.order.tolist()):
                following += islice(entries, 1)
                found, window[row] = window[row], window[row]._replace(what=None)
                if number >= done:
                    crop = tuple(seen.crops[row].tolist()) if self.recipe.random_crops else (0.5, 0.5)
                    url = self.source.urls[parts[found.part].shard]
                    yield _Look(begin._replace(done=number + 1), found, url, bool(seen.mirrored[row]), crop)
            window, done = following, 0

    def _found(self, parts: list[Part], start: Place) -> Iterator[_Found]:
        """The entries of a reader's share, from a place on."""
        for number, part in enumerate(parts[start.shard :], start.shard):
            first = start.entry if number == start.shard else 0
            for entry, what in self.source.entries(part.shard, first):
                if entry % part.of == part.first:
                    yield _Found(number, entry, what)
