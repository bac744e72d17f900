"""The grey picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ldmlab.conditioners.colorization import Colorization
from ldmlab.conditioners.pixels import as_bytes, signed


@pytest.fixture
def conditioner(latents: Any) -> Colorization:
    made = Colorization()
    made.place(latents, 4)
    return made


def test_grey_is_what_a_grey_file_holds(conditioner: Colorization, images: Tensor) -> None:
    grey = as_bytes(conditioner.grey({"images": signed(images)}))[:, 0]
    theirs = [np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) for image in images]
    assert int((grey.int() - torch.from_numpy(np.stack(theirs)).int()).abs().max()) <= 1


def test_a_grey_picture_is_its_own(conditioner: Colorization) -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(as_bytes(conditioner.naive({"images": signed(every)})), every)


def test_nothing_of_it_is_lost(conditioner: Colorization, images: Tensor) -> None:
    cond = conditioner({"images": signed(images)})
    assert cond.concat.shape == (3, conditioner.concat_channels, 4, 4)
    grey = torch.pixel_shuffle(cond.concat, 4)
    assert torch.equal(grey.expand(-1, 3, -1, -1), conditioner.naive({"images": signed(images)}))
