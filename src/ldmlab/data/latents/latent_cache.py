"""The latent cache: an image's moments under a frozen autoencoder, computed once for a whole split."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NotRequired

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from ldmlab.atomic import atomic_file
from ldmlab.data.index.json_keys import columns_of
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.order.loaders import fixed_loader
from ldmlab.data.order.views import View, as_view
from ldmlab.data.shard_dataset import ConditionColumns, ImageBatch, ShardDataset, add_conditions, collate
from ldmlab.files import open_regular
from ldmlab.ranks import ALONE, Ranks

log = logging.getLogger(__name__)
NAMES = ("mean", "std", "rows")
Moments = Callable[[Tensor], tuple[Tensor, Tensor]]
Progress = Callable[[Iterable[ImageBatch]], Iterable[ImageBatch]]


class LatentBatch(ConditionColumns):
    """Moments (B, 2C, H, W): mean, then standard deviation, of unit-variance latents; the rest as in `ImageBatch`."""

    moments: Tensor
    images: NotRequired[Tensor]
    keys: list[str]
    rows: list[int]
    meta: list[dict[str, Any]]


class CachedLatents(Dataset[LatentBatch]):
    """All moments of a split in memory; a list of numbers gives a whole batch at once (no collation needed).

    Args:
        index: the samples.
        moments: (N, 2C, H, W) float16, or (2N, 2C, H, W) with those of the N mirror images.
        rows: (N,) or (2N,) the sample whose image is encoded at each place; another one where the image is corrupt.
        images: gives the images beside their moments; left out if not given.
    """

    def __init__(
        self,
        index: ShardIndex,
        moments: Float[Tensor, "N C2 H W"],
        rows: Tensor,
        images: ShardDataset | None = None,
    ) -> None:
        self.index = index
        self.moments = moments
        self.rows = rows.tolist()
        self.images = images
        self.files = index.files()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, sample: int | View) -> LatentBatch:
        """Return a batch of one."""
        return self.__getitems__([sample])

    def __getitems__(self, samples: Sequence[int | View]) -> LatentBatch:
        """Return a batch, float32; this is what a DataLoader's fetcher calls."""
        views = [as_view(sample) for sample in samples]
        numbers = [view.row + view.mirrored * len(self.index) for view in views]
        rows = [self.rows[number] for number in numbers]
        batch = LatentBatch(
            moments=self.moments[numbers].float(),
            keys=[self.index.keys[row] for row in rows],
            rows=rows,
            meta=[self.index.meta(row, self.files) for row in rows],
        )
        if self.images is not None:
            seen = [view._replace(row=row) for view, row in zip(views, rows, strict=True)]
            batch["images"] = torch.stack([self.images[view]["image"] for view in seen])
        captions, labels = [self.index.captions[row] for row in rows], [self.index.label(row) for row in rows]
        columns = [columns_of(meta, self.index.needs.json) for meta in batch["meta"]]
        add_conditions(batch, captions, labels, columns)
        return batch


def as_is(batch: LatentBatch) -> LatentBatch:
    """Collate a batch that `CachedLatents` gave as a whole: return it as it is."""
    return batch


def build_latent_cache(
    dataset: ShardDataset,
    moments: Moments,
    path: Path,
    fingerprint: str,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Progress = iter,
    keep_images: bool = False,
    ranks: Ranks = ALONE,
    mirrored: bool = False,
) -> CachedLatents:
    """Load the moments of a dataset from `path`, or compute and store them there.

    The file holds `mean` and `std` (N, C, H, W) float16 and `rows` (N,). It is used again if the dataset's
    fingerprint, the image size and the autoencoder's are the same. Where it cannot be written the moments stay in
    memory and a warning is logged. Processes share the work by whole batches; each gets all moments, and the first one
    writes them.

    Args:
        dataset: the images.
        moments: images (B, 3, fH, fW) -> mean and standard deviation, each (B, C, H, W); called without gradients.
        path: the safetensors file.
        fingerprint: hash of the autoencoder's weights.
        batch_size: images a call of `moments`.
        num_workers: processes that decode images.
        progress: wraps the iteration over the batches, as a progress bar does.
        keep_images: give the images too.
        ranks: the place of this process among those that build the same cache together.
        mirrored: hold the mirror images too.

    Raises:
        ValueError: the moments are not finite in float16.
    """
    facts = {"data": dataset.index.fingerprint, "size": str(dataset.image_size), "autoencoder": fingerprint}
    views = [View(row) for row in range(len(dataset))]
    if mirrored:
        facts["mirrored"] = "true"
        views += [View(row, mirrored=True) for row in range(len(dataset))]
    stored = _load(path, facts, len(views), len(dataset))
    tensors = stored if all(ranks.gather(stored is not None)) else None
    if tensors is None:
        batches = [views[first : first + batch_size] for first in range(0, len(views), batch_size)]
        own = list(chain.from_iterable(ranks.share(batches)))
        loader = fixed_loader(dataset, collate, batch_size, num_workers, pin_memory=False, rows=own)
        tensors = _encode(progress(loader), moments, ranks)
        if ranks.is_first:
            _store(path, tensors, facts)
    replaced = int((tensors["rows"] != torch.arange(len(views)) % len(dataset)).sum())
    if replaced:
        log.warning("%s: %d of its images are corrupt and replaced by others", dataset.index.root, replaced)
    both = torch.cat([tensors["mean"], tensors["std"]], 1)
    return CachedLatents(dataset.index, both, tensors["rows"], dataset if keep_images else None)


def _encode(batches: Iterable[ImageBatch], moments: Moments, ranks: Ranks) -> dict[str, Tensor]:
    """The moments of all ranks' batches, of which each has every `world`-th."""
    encoded, parts = (_encoded(batch, moments) for batch in batches), []
    while any(found := ranks.gather(next(encoded, None))):
        parts += [part for part in found if part is not None]
    tensors = {name: torch.cat([part[name] for part in parts]) for name in NAMES}
    _require_finite(tensors)
    return tensors


@torch.no_grad()
def _encoded(batch: ImageBatch, moments: Moments) -> dict[str, Tensor]:
    mean, std = (each.to("cpu", torch.float16) for each in moments(batch["images"]))
    return {"mean": mean, "std": std, "rows": torch.tensor(batch["rows"])}


def _load(path: Path, facts: dict[str, str], count: int, samples: int) -> dict[str, Tensor] | None:
    """Read the moments of `count` images; None where they are absent, of other facts, or do not hold together."""
    try:
        open_regular(path).close()
        with safe_open(path, "pt") as stored:
            if stored.metadata() != facts:
                return None
            tensors = {name: stored.get_tensor(name) for name in NAMES}
        _require_moments(tensors, count, samples)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError) as error:
        log.warning("the latent cache %s is broken and made again: %s", path, error)
        return None
    return tensors


def _require_moments(tensors: dict[str, Tensor], count: int, samples: int) -> None:
    """Raise ValueError unless these are moments of `count` images: the file may be a stranger's, as the tars are."""
    mean, std, rows = (tensors[name] for name in NAMES)
    if (mean.dtype, std.dtype, rows.dtype) != (torch.float16, torch.float16, torch.int64):
        raise ValueError("it holds other types")
    if mean.ndim != 4 or mean.shape != std.shape or len(mean) != count or rows.shape != (count,):
        raise ValueError("it holds other shapes")
    if count and not 0 <= int(rows.min()) <= int(rows.max()) < samples:
        raise ValueError("it holds rows of other images")
    _require_finite(tensors)


def _require_finite(tensors: dict[str, Tensor]) -> None:
    for name in ("mean", "std"):
        if not tensors[name].isfinite().all():
            raise ValueError(f"the autoencoder's latents are not finite in float16 ({name}): train it further")


def _store(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    try:
        with atomic_file(path) as file:
            file.write(save(tensors, facts))
    except OSError as error:
        log.warning("the latent cache is kept in memory only: %s", error)
