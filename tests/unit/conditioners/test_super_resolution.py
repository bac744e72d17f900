"""The small picture: as it is given, or made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ldmlab.conditioners.pixels import as_bytes, signed
from ldmlab.conditioners.super_resolution import SuperResolution


def placed(latents: Any, factor: int) -> SuperResolution:
    conditioner = SuperResolution(factor)
    conditioner.place(latents, 4)
    return conditioner


def pillow(image: Tensor, size: int) -> Tensor:
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    return torch.from_numpy(np.array(picture.resize((size, size), Image.Resampling.BICUBIC))).permute(2, 0, 1)


@pytest.mark.parametrize("factor", [2, 4])
def test_made_small_as_pillow_does(factor: int, latents: Any, images: Tensor) -> None:
    small = as_bytes(placed(latents, factor).small({"images": signed(images)}))
    theirs = torch.stack([pillow(image, 16 // factor) for image in images])
    assert int((small.int() - theirs.int()).abs().max()) <= 1  # it rounds after each direction


@pytest.mark.parametrize(("factor", "channels"), [(2, 12), (4, 3), (8, 3)])
def test_every_pixel_stands_over_its_cell(factor: int, channels: int, latents: Any, images: Tensor) -> None:
    conditioner = placed(latents, factor)
    small = conditioner.small({"images": signed(images)})
    concat = conditioner({"images": signed(images)}).concat
    assert concat.shape == (3, channels, 4, 4)
    assert conditioner.concat_channels == channels
    for row in range(16 // factor):
        for column in range(16 // factor):
            cell = concat[:, :, row * factor // 4, column * factor // 4]
            inside = (row * factor % 4 // factor) * max(1, 4 // factor) + column * factor % 4 // factor
            step = max(1, 4 // factor) ** 2
            assert torch.equal(cell[:, inside::step], small[:, :, row, column])


def test_a_given_one_is_taken_to_the_bit(latents: Any, images: Tensor) -> None:
    conditioner = placed(latents, 2)
    small = images[:, :, :8, :8]
    cond = conditioner({"low_resolution": signed(small), "images": signed(images)})
    assert torch.equal(torch.pixel_shuffle(cond.concat, 2), signed(small))
    assert torch.equal(conditioner(conditioner.given(small[0])).concat, cond.concat[:1])
    made = conditioner(conditioner.given(images[0]))
    assert torch.equal(made.concat, conditioner({"images": signed(images)}).concat[:1])
    again = conditioner(conditioner.given(as_bytes(conditioner.small({"images": signed(images)}))[0]))
    assert torch.equal(again.concat, made.concat)


def test_the_naive_answer_is_bicubic(latents: Any) -> None:
    conditioner = placed(latents, 4)
    flat = torch.full((2, 3, 4, 4), 0.5)
    torch.testing.assert_close(conditioner.naive({"low_resolution": flat}), torch.full((2, 3, 16, 16), 0.5))
    edge = torch.full((1, 3, 4, 4), -1.0)
    edge[..., 2:] = 1.0
    enlarged = conditioner.naive({"low_resolution": edge})
    assert (float(enlarged.min()), float(enlarged.max())) == (-1, 1)


def test_refusals(latents: Any, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"conditioner.factor=1: enlarge by 2 or more"):
        SuperResolution(1)
    with pytest.raises(ValueError, match=r"conditioner.factor=3: give a divisor or a multiple of the autoencoder's, 4"):
        placed(latents, 3)
    with pytest.raises(ValueError, match=r"conditioner.factor=2: does not divide pictures of 15x16"):
        placed(latents, 2)({"images": signed(images[:, :, :15])})
    with pytest.raises(ValueError, match="image: is 10x10 pixels and the model reads 8x8"):
        placed(latents, 2).given(images[0, :, :10, :10])
    with pytest.raises(ValueError, match="mask: conditioner 'SuperResolution' fills no mask"):
        placed(latents, 2).given(images[0, :, :8, :8], torch.ones(8, 8, dtype=torch.bool))
