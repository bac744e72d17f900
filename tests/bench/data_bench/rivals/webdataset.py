"""webdataset: decode("pil"), torchvision's transforms, batches made in the workers."""

from __future__ import annotations

from pathlib import Path

import webdataset as wds
from torch import stack
from torchvision import transforms as T

from data_bench.rivals import BATCH, SIDE, Batches

TITLE = "webdataset"
TO_PIXELS = T.Compose([T.Resize(SIDE, T.InterpolationMode.BICUBIC), T.CenterCrop(SIDE), T.PILToTensor()])


def prepare(shards: Path, folder: Path) -> None:
    """Nothing: the tars are read as they are."""


def batches(shards: Path, folder: Path, workers: int) -> Batches:
    """In the order of the tars, which costs least."""
    urls = sorted(map(str, shards.glob("*.tar")))
    samples = wds.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("jpg", "txt").map_tuple(TO_PIXELS, str)
    loader = wds.WebLoader(samples.batched(BATCH, collation_fn=_collate), batch_size=None, num_workers=workers)
    yield from loader


def _collate(samples: list[tuple]) -> tuple:
    images, captions = zip(*samples, strict=True)
    return stack(images), list(captions)
