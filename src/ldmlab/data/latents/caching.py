"""How a run caches what its frozen parts give for a split, and where."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.cached_dataset import CachedLatents
from ldmlab.data.latents.latent_cache import LatentCache, LatentEncoder, latent_cache
from ldmlab.data.latents.latent_cache import facts_of as latent_facts
from ldmlab.data.latents.manifest import claim
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.latents.text_cache import TextCache, TextEncoder, text_cache
from ldmlab.data.latents.text_cache import facts_of as text_facts
from ldmlab.data.latents.variants import Variants
from ldmlab.data.order.buckets import Buckets
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.ranks import ALONE, Ranks

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps an iteration as a progress bar does; the second argument says what is done."""


class Split(NamedTuple):
    """What there is to cache of a run's data.

    Attributes:
        name: "train" or "heldout".
        dataset: the images.
        variants: the views of each; of each bucket, where there are buckets.
    """

    name: str
    dataset: ShardDataset
    variants: Sequence[Variants]

    @staticmethod
    def of(name: str, dataset: ShardDataset, buckets: Buckets | None, mirrored: bool = False, crops: int = 1) -> Split:
        """Return all samples, each at the size of its bucket where there are buckets.

        Args:
            name: "train" or "heldout".
            dataset: the images.
            buckets: where they are sorted into some.
            mirrored: whether mirror images are kept, too.
            crops: how many of each are kept.
        """
        if buckets is None:
            return Split(name, dataset, [Variants.of_all(len(dataset), mirrored, crops)])
        return Split(name, dataset, Variants.of_buckets(buckets, mirrored, crops))


@dataclass(frozen=True)
class Caching:
    """All that it takes to cache the splits of a run.

    Attributes:
        encoder: of images.
        text: of captions; None where nothing of them is kept.
        options: the user's.
        spare: the folder of caches for which there is no room beside the shards, since these may only be read.
        batch_size: images or captions that are encoded at a time.
        track: shows how far it has come.
        keep_images: batches have the images, too.
        ranks: the place of this process among those of the run, which share the work.
    """

    encoder: LatentEncoder
    text: TextEncoder | None = None
    options: LatentOptions = field(default_factory=LatentOptions)
    spare: Path | None = None
    batch_size: int = 64
    track: Track = lambda items, _: items
    keep_images: bool = False
    ranks: Ranks = ALONE

    def open(self, splits: Sequence[Split], num_workers: int) -> list[CachedLatents]:
        """Open the caches of some splits, after computing what is not there. What is stale is refused before that.

        Args:
            splits: of the run's data.
            num_workers: processes that decode images.

        Raises:
            ValueError: a cache of something else is there.
            OSError: one cannot be written.
        """
        for split in splits:
            for variants in split.variants:
                facts = latent_facts(split.dataset, self.encoder, variants)
                claim(self._home(split, _name(split, variants)), facts, self.options.rebuild, self.ranks)
            if self.text is not None:
                facts = text_facts(split.dataset.index, self.text)
                claim(self._home(split, f"text-{split.name}"), facts, self.options.rebuild, self.ranks)
        return [self._cached(split, num_workers) for split in splits]

    def _cached(self, split: Split, num_workers: int) -> CachedLatents:
        latents = [self._latents(split, variants, num_workers) for variants in split.variants]
        text = None if self.text is None else self._text(split, self.text)
        return CachedLatents(split.dataset.index, latents, text, split.dataset if self.keep_images else None)

    def _latents(self, split: Split, variants: Variants, num_workers: int) -> LatentCache:
        return latent_cache(
            split.dataset,
            self.encoder,
            self._home(split, _name(split, variants)),
            variants,
            self.options.rebuild,
            self.batch_size,
            num_workers,
            lambda batches: self.track(batches, "encoding images"),
            self.ranks,
        )

    def _text(self, split: Split, encoder: TextEncoder) -> TextCache:
        return text_cache(
            split.dataset.index,
            encoder,
            self._home(split, f"text-{split.name}"),
            self.options.rebuild,
            self.batch_size,
            lambda batches: self.track(batches, "encoding captions"),
            self.ranks,
        )

    def _home(self, split: Split, kind: str) -> Path:
        """The folder of one cache, the same on all ranks."""
        root, name = split.dataset.index.root, f"{kind}{_chosen(split.dataset.index)}"
        if self.options.path is not None or self.spare is None:
            return Path(self.options.path or root) / name
        beside = self.ranks.first((root / name).exists() or os.access(root, os.W_OK))
        return (root if beside else self.spare) / name


def _name(split: Split, variants: Variants) -> str:
    """What sets the latents of a split apart from others of the same samples."""
    size = split.dataset.image_size if variants.size is None else "{}x{}".format(*variants.size)
    crops = f"-crops{variants.crops}" if variants.crops > 1 else ""
    return f"latents-{split.name}-{size}{'-mirrored' if variants.mirrored else ''}{crops}"


def _chosen(index: ShardIndex) -> str:
    """Sets caches of some of a folder's samples apart: those that a filter takes, or that have what is read of them."""
    return "" if index.rows is None else f"-{hashlib.sha256(index.selection.recipe.encode()).hexdigest()[:8]}"
