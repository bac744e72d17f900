"""Megatron-Energon: the tars as they are, prepared by its command; a task encoder that resizes by torchvision."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from megatron.energon import (
    Batch,
    CaptioningSample,
    DefaultTaskEncoder,
    SampleDecoder,
    WorkerConfig,
    edataclass,
    get_loader,
    get_train_dataset,
    stateless,
)
from torch import Tensor, stack
from torchvision.transforms import v2

from data_bench.rivals import BATCH, SIDE, Batches
from data_bench.tars import linked

TITLE = "megatron-energon"
TO_PIXELS = v2.Compose([v2.Resize(SIDE, v2.InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(SIDE)])
FIELDS = '{"image": "jpg", "caption": "txt"}'


@edataclass
class Pictures(Batch):
    """A batch."""

    images: Tensor
    captions: list[str]


class Encoder(DefaultTaskEncoder[CaptioningSample, CaptioningSample, Pictures, Pictures]):
    """Makes pixels of pictures, and batches of samples."""

    decoder = SampleDecoder(image_decode="torchrgb8")

    @stateless
    def encode_sample(self, sample: CaptioningSample) -> CaptioningSample:
        sample.image = TO_PIXELS(sample.image)
        return sample

    def batch(self, samples: list[CaptioningSample]) -> Pictures:
        return Pictures.from_samples(
            samples, images=stack([s.image for s in samples]), captions=[s.caption for s in samples]
        )


def prepare(shards: Path, folder: Path) -> None:
    """Index the tars, which it does beside them."""
    linked(shards, folder)
    command = ["prepare", str(folder), "--non-interactive", "--split-ratio", "1,0,0", "--num-workers", "1"]
    command += ["--sample-type", "CaptioningSample", "--field-map", FIELDS, "--force-overwrite"]
    program = Path(sys.executable).with_name("energon")
    subprocess.run([str(program), *command], check=True, capture_output=True)


def batches(shards: Path, folder: Path, workers: int) -> Batches:
    """Without end in its own way, so as many as there are full batches."""
    config = WorkerConfig(rank=0, world_size=1, num_workers=workers)
    data = get_train_dataset(
        str(folder),
        worker_config=config,
        batch_size=BATCH,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        task_encoder=Encoder(),
        repeat=False,
    )
    for batch in get_loader(data):
        yield batch.images, batch.captions
