"""Mirror images as further samples: so a number says whether a picture is flipped, to whatever reads or caches it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from itertools import islice

from torch.utils.data import Dataset

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.shard_dataset import ImageSample, ShardDataset

log = logging.getLogger(__name__)

MOST_READ = 100_000
SIDE = re.compile(r"\b(?:left|right)", re.IGNORECASE)


class WithMirrorImages(Dataset[ImageSample]):
    """The N samples of a dataset, and after them their mirror images, left for right: sample N + i mirrors sample i.

    Captions, labels and rows are those of the sample that is mirrored.

    Args:
        samples: as they are.
    """

    def __init__(self, samples: ShardDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return 2 * len(self.samples)

    def __getitem__(self, number: int) -> ImageSample:
        """Return sample `number`, 0 <= number < 2 N; ValueError as the dataset's own."""
        mirrored, row = divmod(number, len(self.samples))
        sample = self.samples[row]
        if mirrored:
            sample["image"] = sample["image"].flip(-1)
        return sample

    @property
    def index(self) -> ShardIndex:
        """The index of the N samples that are not mirrored."""
        return self.samples.index

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.samples.image_size


def flip_probability(flip: bool | float) -> float:
    """The probability with which a training sample is mirrored: `True` is one half."""
    if not 0 <= flip <= 1:
        raise ValueError(f"data.flip={flip} is no probability; give true, false, or a number from 0 to 1")
    return 0.5 if flip is True else float(flip)


def warn_of_sides(captions: Iterable[str], probability: float) -> None:
    """Say how many of the first captions speak of left or right, which a mirror image makes wrong."""
    read = list(islice(captions, MOST_READ))
    count = sum(SIDE.search(caption) is not None for caption in read)
    if count:
        message = "data.flip=%g: %d of %d captions say left or right, and mirror images show the opposite"
        log.warning(message, probability, count, len(read))
