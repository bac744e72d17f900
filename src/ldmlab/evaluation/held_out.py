"""The held-out samples that a model is measured on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.data.decoding.decoders import decoder_of
from ldmlab.data.filters.filter import Filter
from ldmlab.data.filters.selecting import taken
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import META, Needs
from ldmlab.data.samples import Samples
from ldmlab.data.shard_dataset import ShardDataset, collate, conditions_of
from ldmlab.data.subset import Choice, subset, told_choice
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.progress import track
from ldmlab.samplers.noise import picture_seeds

Tell = Callable[[str], None]
"""Called with a line that whoever measures should know."""


@dataclass(frozen=True)
class HeldOut:
    """The first n samples of a dataset.

    Attributes:
        dataset: has n at least.
        n: how many are measured.
        seed: decides the noise of all that is drawn for them, and of whatever a metric draws.
        batch_size: samples at a time.
        name: what a user knows them by, for errors.
        choice: how they were chosen, in words, where they are not the first.
        of: the fingerprint of those among which they were chosen, where they are not the first.
    """

    dataset: Samples
    n: int
    seed: int = 0
    batch_size: int = 32
    name: str = "held-out samples"
    choice: str | None = None
    of: str | None = None

    kind = "shards"

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the pictures, where that is known before they are decoded."""
        return (self.dataset.image_size,) * 2 if isinstance(self.dataset, ShardDataset) else None

    @property
    def chosen(self) -> str:
        """Which of the samples these are."""
        total = len(self.dataset)
        if self.choice is not None:
            return self.choice
        return "all" if self.n == total else f"the first {self.n} of {total}"

    @property
    def fingerprint(self) -> str:
        """A digest of the dataset and its order."""
        return self.dataset.fingerprint

    @property
    def whole(self) -> str:
        """A digest of all the samples that there are."""
        return self.of or self.fingerprint

    def about(self) -> dict[str, Any] | None:
        """What decides the pictures, see `PictureSet`; unknown where they are not of shards on a disk."""
        if not isinstance(self.dataset, ShardDataset):
            return None
        size, decoding = self.dataset.image_size, self.dataset.decoder.facts
        return {"kind": self.kind, "fingerprint": self.dataset.index.stamp, "n": self.n, "size": size, **decoding}

    def parts(self) -> list[range]:
        """The numbers of the samples of each batch, in order."""
        return [range(start, min(start + self.batch_size, self.n)) for start in range(0, self.n, self.batch_size)]

    def batch(self, part: range) -> dict[str, Any]:
        """The samples of these numbers, as `collate` makes a batch of them, with their json as "meta"."""
        batch = collate([self.dataset[number] for number in part])
        return {**batch, META: [self.dataset.meta(row) for row in batch["rows"]]}

    def pictures(self, part: range) -> dict[str, Any]:
        """The samples of these numbers, see `PictureSet`."""
        batch = self.batch(part)
        return {**columns(batch), "images": to_uint8(batch["images"])}

    @property
    def names(self) -> frozenset[str]:
        """What is known of every sample."""
        return frozenset(self._columns)

    def known(self, wanted: Collection[str]) -> dict[str, list[Any]]:
        """What is known of the samples, see `Requests`."""
        return {name: values for name, values in self._columns.items() if name in wanted}

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        samples = [self.dataset.described(number) for number in range(self.n)]
        rows = [each["row"] for each in samples]
        known = {"keys": [each["key"] for each in samples], "rows": rows, META: list(map(self.dataset.meta, rows))}
        return columns({**known, **conditions_of(samples)})

    def seeds(self) -> list[int]:
        """A seed for each sample, from which what is drawn for it takes its noise."""
        return picture_seeds(self.seed, self.n)


def held_out(
    folder: Path,
    needs: Needs,
    image_size: int,
    n: int,
    seed: int = 0,
    batch_size: int = 32,
    tell: Tell = print,
    scaled_decoding: bool = False,
    filter: Filter | None = None,
    choice: Choice = "first",
    choice_seed: int = 0,
) -> HeldOut:
    """n of the samples in a folder of held-out tars, or all of them where there are fewer.

    Args:
        folder: the tars lie directly in it.
        needs: see `needs_of`.
        image_size: side of the pictures in pixels.
        n: how many are wanted.
        seed: see `HeldOut`.
        batch_size: see `HeldOut`.
        tell: is told where there are fewer.
        scaled_decoding: decode JPEG as such a run does, see `ShardDataModule`.
        filter: which samples of the folder count; None for all.
        choice: which n of them, see `subset`.
        choice_seed: decides those that are drawn.

    Raises:
        ValueError: there are fewer than 2.
    """
    index = ShardIndex.build(folder, needs=needs, progress=partial(track, what="reading shards"))
    index = index if filter is None else taken(index, filter)
    found = min(n, len(index))
    if found < 2:
        raise ValueError(f"data.path={folder}: {found} held-out sample is too few to measure; give at least 2")
    if found < n:
        tell(f"n={n}: there are {found} held-out samples, so {found} are taken")
    part = subset(index, found, choice, choice_seed)
    dataset = ShardDataset(part, image_size, decoder_of(scaled=scaled_decoding))
    told = told_choice(choice, found, len(index), choice_seed)
    return HeldOut(dataset, found, seed, batch_size, str(folder), told, index.fingerprint)


def needs_of(model: LatentDiffusion | Autoencoder) -> Needs:
    """What a sample must have for a model to be measured on it."""
    if isinstance(model, Autoencoder):
        return Needs(captions=False)
    return Needs.of(model.conditioner.reads, model.conditioner.classes)


def columns(batch: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is known of each sample of a batch beside its picture, with "asked", the scene, where all are drawn ones."""
    known = {key: list(values) for key, values in batch.items() if key != "images"}
    asked = [meta.get("asked") for meta in known["meta"]]
    return {**known, "asked": asked} if all(asked) else known
