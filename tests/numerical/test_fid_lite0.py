"""FID of EfficientNet-Lite0's features orders degradations as a quality measure must."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from ldmlab.extractors.efficientnet_lite0 import EfficientNetLite0
from ldmlab.metrics.distribution.frechet import frechet_distance
from ldmlab.metrics.distribution.inception_score import inception_score

pytest.importorskip("skimage", exc_type=ImportError)

from skimage import data

CROPS = 12


@pytest.fixture(scope="module")
def extractor() -> EfficientNetLite0:
    return EfficientNetLite0()


@pytest.fixture(scope="module")
def images() -> Tensor:
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 512 - 96, (CROPS, 2), generator=generator).tolist()
    return torch.stack([photo[:, y : y + 96, x : x + 96] for y, x in corners])


@pytest.mark.slow
def test_distance_grows_with_blur(extractor: EfficientNetLite0, images: Tensor) -> None:
    real = extractor.features(images)
    distances = [frechet_distance(real, extractor.features(gaussian_blur(images, [25, 25], [sd]))) for sd in (0.5, 1.5)]
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-2)
    assert 1 < distances[0] < distances[1] / 2


def test_score_falls_when_all_images_are_alike(extractor: EfficientNetLite0, images: Tensor) -> None:
    logits = extractor.logits(extractor.features(images))
    varied = inception_score(logits, splits=1)[0]
    assert varied > 2
    assert inception_score(logits[:1].expand(CROPS, -1), splits=1)[0] == pytest.approx(1, abs=1e-3)
