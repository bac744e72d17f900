"""How a run caches what its frozen parts give for a split, and where."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.latents.bucketed import BucketedLatents
from ldmlab.data.latents.cached_dataset import CachedLatents
from ldmlab.data.latents.latent_cache import LatentEncoder, latent_cache
from ldmlab.data.latents.latent_cache import facts_of as latent_facts
from ldmlab.data.latents.manifest import claim
from ldmlab.data.latents.options import LatentOptions
from ldmlab.data.latents.text_cache import TextCache, TextEncoder, text_cache
from ldmlab.data.latents.text_cache import facts_of as text_facts
from ldmlab.data.latents.variants import Variants
from ldmlab.data.order.buckets import Buckets
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.ranks import ALONE, Ranks

log = logging.getLogger(__name__)

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps an iteration as a progress bar does; the second argument says what is done."""


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

    def claim(self, dataset: ShardDataset, split: str, variants: Variants, buckets: Buckets | None = None) -> None:
        """Refuse what is stale of a split's caches, before anything is computed.

        Args:
            dataset: the images.
            split: "train" or "heldout".
            variants: the views of each.
            buckets: of the images, each of which has a cache of its own; None where all are square.

        Raises:
            ValueError: a cache of something else is there.
            OSError: none can be begun.
        """
        for part in _parts(dataset, split, variants, buckets):
            facts = latent_facts(part.dataset, self.encoder, part.variants)
            claim(self._latents_home(part), facts, self.options.rebuild, self.ranks)
            if self.text is not None:
                facts = text_facts(part.dataset.index, self.text)
                claim(self._text_home(self.text, part), facts, self.options.rebuild, self.ranks)

    def of(
        self,
        dataset: ShardDataset,
        split: str,
        variants: Variants,
        num_workers: int,
        buckets: Buckets | None = None,
    ) -> CachedLatents | BucketedLatents:
        """Open the caches of a split, after computing what is not there.

        Args:
            dataset: the images.
            split: "train" or "heldout".
            variants: the views of each.
            num_workers: processes that decode images.
            buckets: of the images, each of which has a cache of its own; None where all are square.

        Raises:
            ValueError: a cache of something else is there.
            OSError: one cannot be written.
        """
        parts = _parts(dataset, split, variants, buckets)
        caches = {part.variants.size: self._of_one_size(part, num_workers) for part in parts}
        return caches[None] if buckets is None else BucketedLatents(dataset.index, caches)

    def _of_one_size(self, part: _Part, num_workers: int) -> CachedLatents:
        latents = latent_cache(
            part.dataset,
            self.encoder,
            self._latents_home(part),
            part.variants,
            self.options.rebuild,
            self.batch_size,
            num_workers,
            lambda batches: self.track(batches, "encoding images"),
            self.ranks,
        )
        text = None if self.text is None else self._text(self.text, part)
        return CachedLatents(part.dataset.index, latents, text, part.dataset if self.keep_images else None)

    def _text(self, encoder: TextEncoder, part: _Part) -> TextCache:
        home, progress = self._text_home(encoder, part), lambda batches: self.track(batches, "encoding captions")
        return text_cache(
            part.dataset.index, encoder, home, self.options.rebuild, self.batch_size, progress, self.ranks
        )

    def _latents_home(self, part: _Part) -> Path:
        return self._home(part.dataset.index.root, part.latents, self.encoder.fingerprint)

    def _text_home(self, encoder: TextEncoder, part: _Part) -> Path:
        return self._home(part.dataset.index.root, part.text, encoder.fingerprint)

    def _home(self, root: Path, name: str, fingerprint: str) -> Path:
        """The folder of one cache, the same on all ranks. Beside the shards each encoder has its own."""
        if self.options.path is not None:
            return Path(self.options.path) / name
        own = f"{name}-{fingerprint[:12]}"
        if self.spare is None or self.ranks.first((root / own).exists() or os.access(root, os.W_OK)):
            return root / own
        log.info("%s: may only be read, so its %s are in %s; latents.path= says where", root, own, self.spare)
        return self.spare / own


class _Part(NamedTuple):
    """Samples that are seen at one size, with the names of the folders of what is cached of them."""

    dataset: ShardDataset
    variants: Variants
    latents: str
    text: str


def _parts(dataset: ShardDataset, split: str, variants: Variants, buckets: Buckets | None) -> list[_Part]:
    chosen = _chosen(dataset.index)
    looks = "-mirrored" if variants.mirrored else ""
    looks += f"-crops{variants.crops}" if variants.crops > 1 else ""
    if buckets is None:
        latents = f"latents-{split}-{dataset.image_size}{looks}{chosen}"
        return [_Part(dataset, variants, latents, f"text-{split}{chosen}")]
    parts = []
    for size, index in zip(buckets.sizes, buckets.indexes, strict=True):
        samples = ShardDataset(index, dataset.image_size, dataset.decoder)
        views, name = replace(variants, samples=len(index), size=size), f"{split}-{size[0]}x{size[1]}"
        parts.append(_Part(samples, views, f"latents-{name}{looks}{chosen}", f"text-{name}{chosen}"))
    return parts


def _chosen(index: ShardIndex) -> str:
    """Sets caches of some of a folder's samples apart: those that a filter takes, or that have what is read of them."""
    return "" if index.rows is None else f"-{hashlib.sha256(index.selection.recipe.encode()).hexdigest()[:8]}"
