"""MosaicML Streaming: MDS with the JPEG as they are, which it decodes by Pillow; torchvision's transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streaming
from PIL import Image
from torch import stack
from torch.utils.data import DataLoader
from torchvision import transforms as T

from data_bench.rivals import BATCH, SIDE, Batches
from data_bench.tars import samples_of

TITLE = "mosaicml-streaming"
TO_PIXELS = T.Compose([T.Resize(SIDE, T.InterpolationMode.BICUBIC), T.CenterCrop(SIDE), T.PILToTensor()])


class Pictures(streaming.StreamingDataset):
    """A picture and its caption."""

    def __getitem__(self, at: Any) -> tuple:
        sample = super().__getitem__(at)
        return TO_PIXELS(sample["image"]), sample["caption"]


def prepare(shards: Path, folder: Path) -> None:
    """Write the shards. Pictures of a file are stored as that file is."""
    folder.mkdir(parents=True)
    file = folder.with_name("picture.jpg")
    with streaming.MDSWriter(out=str(folder), columns={"image": "jpeg", "caption": "str"}) as out:
        for path in sorted(shards.glob("*.tar")):
            for payload, caption in samples_of(path):
                file.write_bytes(payload)
                out.write({"image": Image.open(file), "caption": caption})


def batches(shards: Path, folder: Path, workers: int) -> Batches:
    """In the order of the shards, which costs least."""
    pictures = Pictures(local=str(folder), shuffle=False, batch_size=BATCH)
    yield from DataLoader(pictures, batch_size=BATCH, num_workers=workers, collate_fn=_collate)


def _collate(samples: list[tuple]) -> tuple:
    images, captions = zip(*samples, strict=True)
    return stack(images), list(captions)
