"""LitData: optimized into chunks with the JPEG as they are, which it decodes by torchvision; resized by torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import litdata
from torch import stack
from torchvision.transforms import v2

from data_bench.rivals import BATCH, SIDE, Batches
from data_bench.tars import samples_of

TITLE = "litdata"
TO_PIXELS = v2.Compose([v2.Resize(SIDE, v2.InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(SIDE)])


class Pictures(litdata.StreamingDataset):
    """A picture and its caption."""

    def __getitem__(self, index: Any) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return {"image": TO_PIXELS(sample["image"]), "caption": sample["caption"]}


def prepare(shards: Path, folder: Path) -> None:
    """Write the chunks."""
    litdata.optimize(_samples, sorted(map(str, shards.glob("*.tar"))), str(folder), chunk_bytes="64MB", num_workers=1)


def batches(shards: Path, folder: Path, workers: int) -> Batches:
    """In the order of the chunks, which costs least."""
    loader = litdata.StreamingDataLoader(
        Pictures(str(folder), shuffle=False), batch_size=BATCH, num_workers=workers, collate_fn=_collate
    )
    yield from loader


def _samples(path: str) -> Any:
    for payload, caption in samples_of(Path(path)):
        yield {"image": litdata.Image(bytes=payload), "caption": caption}


def _collate(samples: list[dict[str, Any]]) -> tuple:
    return stack([sample["image"] for sample in samples]), [sample["caption"] for sample in samples]
