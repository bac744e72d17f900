"""Pictures for networks from other packages, against Pillow."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

from ldmlab.pretrained.pixels import centred, normalised, squashed


@pytest.fixture(params=[(50, 70), (71, 33), (20, 20)], ids=str)
def images(request: pytest.FixtureRequest) -> Tensor:
    height, width = request.param
    noise = torch.randint(0, 256, (2, 3, height + 4, width + 4), generator=torch.Generator().manual_seed(0))
    return avg_pool2d(noise.float(), 5, 1).to(torch.uint8)  # Pillow cuts off what overshoots once more


def with_pillow(images: Tensor, *steps: object) -> Tensor:
    prepare = Compose([*steps, PILToTensor()])
    return torch.stack([prepare(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])


def test_whole_pictures_are_resized_as_pillow_does(images: Tensor) -> None:
    wanted = with_pillow(images, Resize((24, 24), InterpolationMode.BICUBIC))
    torch.testing.assert_close(squashed(images, 24).int(), wanted.int(), atol=1, rtol=0)


def test_the_middle_is_what_pillow_cuts_out(images: Tensor) -> None:
    wanted = with_pillow(images, Resize(24, InterpolationMode.BICUBIC), CenterCrop(24))
    torch.testing.assert_close(centred(images, 24).int(), wanted.int(), atol=1, rtol=0)


def test_each_colour_has_a_mean_and_a_deviation_of_its_own() -> None:
    grey = torch.full((1, 3, 1, 1), 51, dtype=torch.uint8)
    assert normalised(grey, (0, 0.2, 0.4), (1, 1, 0.1)).flatten().tolist() == pytest.approx([0.2, 0, -2], abs=1e-6)
