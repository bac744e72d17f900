"""Mask and masked latents in both published layouts, and pixels that stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.pixels import as_bytes, signed
from ldmlab.draws import Draws


def placed(latents: Any, layout: str = "ldm") -> Inpainting:
    conditioner = Inpainting(layout)
    conditioner.place(latents, 4)
    return conditioner


@pytest.fixture
def masks() -> Tensor:
    mask = torch.zeros(3, 16, 16, dtype=torch.bool)
    mask[0, 4:12, 4:8] = True
    mask[1, :, 9:] = True
    mask[2, 0, 0] = True
    return mask


def means(images: Tensor) -> Tensor:
    """Red and green of every cell of 4 x 4 pixels."""
    return images[:, :2].unflatten(3, (4, 4)).unflatten(2, (4, 4)).mean(dim=(3, 5))


def test_the_layout_of_latent_diffusion(latents: Any, images: Tensor, masks: Tensor) -> None:
    """Pixels in [0, 1] times (1 - mask), then both from [0, 1] to [-1, 1]; the latents first."""
    zero_to_one = images.double() / 255 * (~masks[:, None])
    wanted_latents, wanted_mask = means(zero_to_one * 2 - 1), masks[:, ::4, ::4].double() * 2 - 1
    concat = placed(latents)({"images": signed(images), "masks": masks}).concat.double()
    torch.testing.assert_close(concat[:, :2], wanted_latents, rtol=0, atol=1e-6)
    assert torch.equal(concat[:, 2], wanted_mask)
    assert concat.shape[1] == placed(latents).concat_channels == 3


def test_the_layout_of_stable_diffusion(latents: Any, images: Tensor, masks: Tensor) -> None:
    """Pixels in [-1, 1] times (mask < 0.5); the mask first, in {0, 1}."""
    wanted = means((images.double() / 127.5 - 1) * (~masks[:, None]))
    concat = placed(latents, "sd")({"images": signed(images), "masks": masks}).concat.double()
    assert torch.equal(concat[:, 0], masks[:, ::4, ::4].double())
    torch.testing.assert_close(concat[:, 1:], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["ldm", "sd"])
def test_nothing_of_what_is_hidden_leaks(layout: str, latents: Any, images: Tensor, masks: Tensor) -> None:
    conditioner = placed(latents, layout)
    changed = torch.where(masks[:, None], 255 - images, images)
    one, other = (conditioner({"images": signed(each), "masks": masks}).concat for each in (images, changed))
    assert torch.equal(one, other)
    first, second = (conditioner.naive({"images": signed(each), "masks": masks}) for each in (images, changed))
    assert torch.equal(first, second)


def test_known_pixels_stay_to_the_bit(latents: Any, images: Tensor, masks: Tensor) -> None:
    batch = {"images": signed(images), "masks": masks}
    drawn = 255 - images
    finished = placed(latents).finish(batch, drawn)
    assert torch.equal(finished, torch.where(masks[:, None], drawn, images))


def test_the_naive_answer_is_the_mean_of_what_is_known(latents: Any, images: Tensor, masks: Tensor) -> None:
    naive = placed(latents).naive({"images": signed(images), "masks": masks})
    for image, mask, mine in zip(signed(images), masks, naive, strict=True):
        assert torch.equal(mine[:, ~mask], image[:, ~mask])
        torch.testing.assert_close(mine[:, mask], image[:, ~mask].mean(1, keepdim=True).expand(3, int(mask.sum())))
    everything = {"images": signed(images), "masks": torch.ones_like(masks)}
    assert as_bytes(placed(latents).naive(everything)).unique().tolist() == [128]


def test_masks_are_drawn_where_there_are_none(latents: Any, images: Tensor, masks: Tensor) -> None:
    conditioner = placed(latents)
    given = {"images": signed(images), "masks": masks}
    assert conditioner.complete(given) is given
    count = len(images)
    drawn = [Draws(count, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    one, same, other = (conditioner.complete({"images": signed(images)}, each)["masks"] for each in drawn)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match="reads 'masks', which the data lacks"):
        conditioner({"images": signed(images)})


def test_refusals(latents: Any, images: Tensor, masks: Tensor) -> None:
    conditioner = placed(latents)
    with pytest.raises(ValueError, match=r"conditioner.layout=xl: choose one of ldm, sd"):
        Inpainting("xl")
    with pytest.raises(ValueError, match="mask: this model fills a part of a picture; give mask=PATH"):
        conditioner.given(images[0])
    with pytest.raises(ValueError, match="mask: is 8x16 pixels and the picture 16x16; give one of the same size"):
        conditioner.given(images[0], masks[0, :, :8])
    with pytest.raises(ValueError, match="mask: marks nothing to fill"):
        conditioner.given(images[0], torch.zeros_like(masks[0]))
    assert torch.equal(conditioner.given(images[0], masks[0])["masks"], masks[:1])
