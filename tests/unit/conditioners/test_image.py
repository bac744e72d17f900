"""What conditions that are pictures share: the other conditioner beside them, null, dropout, placing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.colorization import Colorization
from ldmlab.conditioners.image import complete_each
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.pixels import signed
from ldmlab.conditioners.super_resolution import SuperResolution
from ldmlab.conditioners.text import TextTransformer

CAPTIONS = ["a big green star", "a small red circle", "a pink triangle"]


@pytest.fixture
def with_text(text: TextTransformer, latents: Any) -> Colorization:
    conditioner = Colorization(text=text)
    conditioner.place(latents, 4)
    return conditioner


@pytest.fixture
def alone(latents: Any) -> Colorization:
    conditioner = Colorization()
    conditioner.place(latents, 4)
    return conditioner


def batch(images: Tensor) -> dict[str, Any]:
    return {"images": signed(images), "captions": CAPTIONS}


def test_fields_of_both(with_text: Colorization, text: TextTransformer, images: Tensor) -> None:
    cond, words = with_text(batch(images)), text(batch(images))
    assert torch.equal(cond.context, words.context)
    assert torch.equal(cond.vector, words.vector)
    assert torch.equal(cond.concat, with_text.concat(batch(images)))
    assert (with_text.context_width, with_text.vector_width) == (text.context_width, text.vector_width)
    assert with_text.batch(CAPTIONS) == text.batch(CAPTIONS)
    assert with_text.words(CAPTIONS[0]) == text.words(CAPTIONS[0])


def test_text_is_taken_away_and_the_picture_stays(with_text: Colorization, images: Tensor) -> None:
    torch.manual_seed(0)
    cond, null = with_text(batch(images)), with_text.text.null(3)
    beside = with_text.null_beside(cond, 3)
    assert torch.equal(beside.concat, cond.concat)
    assert torch.equal(beside.context, null.context)
    assert torch.equal(beside.vector, null.vector)
    dropped = with_text.drop(cond, 1.0, 3)
    assert torch.equal(dropped.concat, cond.concat)
    assert torch.equal(dropped.context, null.context)


def test_without_text_zeros_stand_for_no_picture(alone: Colorization, images: Tensor) -> None:
    torch.manual_seed(0)
    cond = alone({"images": signed(images).repeat(20, 1, 1, 1)})
    dropped = alone.drop(cond, 0.5, 60).concat
    gone = (dropped == 0).all(dim=(1, 2, 3))
    assert 15 < int(gone.sum()) < 45
    assert torch.equal(dropped[~gone], cond.concat[~gone])
    assert not alone.null_beside(cond, 60).concat.any()


def test_null_has_neither(with_text: Colorization) -> None:
    null = with_text.null(2)
    assert null.concat.shape == (2, 16, 4, 4)
    assert not null.concat.any()
    assert torch.equal(null.context, with_text.text.null(2).context)


def test_the_autoencoder_is_seen_and_not_owned() -> None:
    class Module(nn.Module):
        latent_channels, factor = 3, 4

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("latent_mean", torch.zeros(3))

    conditioner = Inpainting()
    conditioner.place(Module(), 4)  # type: ignore[arg-type]
    assert not conditioner.state_dict()
    assert [*conditioner.modules()] == [conditioner, conditioner.text]
    assert conditioner.concat_channels == 4


def test_before_it_is_placed() -> None:
    with pytest.raises(ValueError, match=r"has no latents yet; call place\(autoencoder, grid\)"):
        Colorization().null(1)


def test_a_picture_beside_a_picture_is_refused(latents: Any) -> None:
    with pytest.raises(ValueError, match=r"conditioner.text: is conditioned on an image too"):
        Colorization(text=Colorization())
    assert Colorization(text=ClassLabel(2, 4)).vector_width == 4


def test_a_users_picture(alone: Colorization, images: Tensor) -> None:
    given = alone.given(images[0])
    assert torch.equal(alone(given).concat, alone({"images": signed(images)}).concat[:1])
    with pytest.raises(ValueError, match="image: is 16x12 pixels and the model reads 16x16; crop or resize it"):
        alone.given(images[0, :, :12])
    with pytest.raises(ValueError, match="mask: conditioner 'Colorization' fills no mask; leave it out"):
        alone.given(images[0], torch.ones(16, 16, dtype=torch.bool))


def test_each_sample_has_a_task_of_its_own(latents: Any, images: Tensor) -> None:
    conditioner = Inpainting()
    conditioner.place(latents, 4)
    whole = complete_each(conditioner, {"images": signed(images)}, [5, 6, 7])
    part = complete_each(conditioner, {"images": signed(images[1:])}, [6, 7])
    assert torch.equal(whole["masks"][1:], part["masks"])
    assert torch.equal(whole["images"], signed(images))
    assert complete_each(Colorization(), {"images": images}, [0, 1, 2]) == {"images": images}


def test_conditions_are_flipped_with_their_pictures(latents: Any, images: Tensor) -> None:
    """Made of a mirrored picture, as training sees it: grey, small, and masked by the mirrored mask."""
    masks = torch.zeros(3, 16, 16, dtype=torch.bool)
    masks[:, 4:12, 0:4] = True
    for conditioner, cell in ((Colorization(), 4), (SuperResolution(4), 1), (Inpainting(), 1)):
        conditioner.place(latents, 4)
        plain, mirrored = (
            torch.pixel_shuffle(conditioner(batch).concat, cell)
            for batch in (
                {"images": signed(images), "masks": masks},
                {"images": signed(images).flip(-1), "masks": masks.flip(-1)},
            )
        )
        torch.testing.assert_close(mirrored, plain.flip(-1), atol=1.01 / 127.5, rtol=0)  # a small one is rounded
