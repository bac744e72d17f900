"""Super-resolution, colorization and inpainting of a user's picture, with models of random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.colorization import Colorization
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.none import NoCondition
from ldmlab.conditioners.pixels import as_bytes, signed
from ldmlab.conditioners.super_resolution import SuperResolution
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.editing.methods.base import Edited, EditTask
from ldmlab.editing.methods.image_to_image import ImageToImage
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.ddim import DDIM

SEEDS = [3, 4, 5]


def model(conditioner: Conditioner) -> LatentDiffusion:
    """Pictures of 16 px on a grid of 4, all of whose weights do something."""
    torch.manual_seed(0)
    conditioner.prepare(["a red star", "a blue circle"] * 4)
    autoencoder = AutoencoderKL(channels=8, multipliers=(1,), residual_blocks=1, norm_groups=4, patch=4)
    conditioner.place(autoencoder, 4)
    widths: dict[str, Any] = {
        "context_width": conditioner.context_width,
        "vector_width": conditioner.vector_width,
        "concat_channels": conditioner.concat_channels,
    }
    backbone = DiT(channels=4, grid=4, patch=2, width=32, depth=1, heads=2, **widths)
    made = LatentDiffusion(autoencoder, Denoiser(backbone, scaled_linear(), Epsilon()), conditioner, 4)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def text() -> TextTransformer:
    return TextTransformer(vocabulary=300, length=16, width=16, depth=1, heads=2)


@pytest.fixture
def image() -> Tensor:
    return torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mask() -> Tensor:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[3:9, 5:14] = True
    return mask


def edit(conditioner: Conditioner, guidance: Guidance | None = None, seeds: list[int] = SEEDS, **given: Any) -> Edited:
    method = ImageToImage()
    method.check({key.removesuffix("s") for key, value in given.items() if value is not None})
    return method.edit(EditTask(model(conditioner), Drawing(DDIM(2), guidance or NoGuidance(), seeds), **given))


@pytest.mark.parametrize("layout", ["ldm", "sd"])
def test_known_pixels_stay_to_the_bit(layout: str, image: Tensor, mask: Tensor) -> None:
    made = edit(Inpainting(layout), image=image, mask=mask)
    pictures = made.after[0].pictures
    assert pictures.shape == (3, 3, 16, 16)
    assert torch.equal(pictures[:, :, ~mask], image[:, ~mask].expand(3, -1, -1))
    assert len({tuple(picture[:, mask].flatten().tolist()) for picture in pictures}) == 3
    assert made.before.pictures.shape == (1, 3, 16, 16)
    assert torch.equal(made.before.pictures[0][:, ~mask], image[:, ~mask])


def test_what_is_under_the_mask_does_not_matter(image: Tensor, mask: Tensor) -> None:
    other = torch.where(mask, 255 - image, image)
    one, same = (edit(Inpainting(), image=each, mask=mask).after[0].pictures for each in (image, other))
    assert torch.equal(one, same)


def test_a_picture_belongs_to_its_seed(image: Tensor, mask: Tensor) -> None:
    whole = edit(Inpainting(), image=image, mask=mask).after[0].pictures
    assert torch.equal(edit(Inpainting(), seeds=SEEDS[1:2], image=image, mask=mask).after[0].pictures[0], whole[1])


def test_the_prompt_is_read_and_guided_beside_the_picture(image: Tensor, mask: Tensor) -> None:
    def once(target: str | None, guidance: Guidance) -> Tensor:
        targets = None if target is None else [target] * len(SEEDS)
        return edit(Inpainting("sd", text()), guidance, image=image, mask=mask, targets=targets).after[0].pictures

    plain = once("a red star", NoGuidance())
    guided = once("a red star", ClassifierFree(3.0))
    assert not torch.equal(plain, guided)
    assert not torch.equal(plain, once("a blue circle", NoGuidance()))
    assert torch.equal(guided[:, :, ~mask], plain[:, :, ~mask])
    empty = once(None, ClassifierFree(3.0)).int() - once("", NoGuidance()).int()
    assert int(empty.abs().max()) <= 1  # the empty prompt is led away from itself


def test_guidance_keeps_the_picture_in_the_unconditional_pass(image: Tensor, mask: Tensor) -> None:
    made, seen = model(Inpainting("sd", text())), []
    made.denoiser.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    task = EditTask(made, Drawing(DDIM(1), ClassifierFree(2.0), [0]), targets=["a red star"], image=image, mask=mask)
    ImageToImage().edit(task)
    given = made.conditioner(made.conditioner.given(image, mask) | made.conditioner.batch(["a red star"]))
    cond, uncond = seen[0].concat.chunk(2)
    torch.testing.assert_close(cond, uncond, rtol=0, atol=0)
    torch.testing.assert_close(cond[:1], given.concat)
    assert not torch.equal(*seen[0].context.chunk(2))


def test_a_small_picture_is_enlarged(image: Tensor) -> None:
    small = image[:, :8, :8]
    made = edit(SuperResolution(2), image=small)
    assert made.after[0].pictures.shape == (3, 3, 16, 16)
    assert (made.before.title, made.before.pictures.shape) == ("bicubic", (1, 3, 16, 16))
    conditioner = SuperResolution(2)
    drawing = Drawing(DDIM(2), NoGuidance(), SEEDS)
    drawn = sample(model(conditioner), drawing, {"low_resolution": signed(small).expand(3, -1, -1, -1)})
    assert torch.equal(made.after[0].pictures, drawn)


def test_a_picture_is_coloured_by_its_grey_alone(image: Tensor) -> None:
    made = edit(Colorization(), image=image)
    grey = made.before.pictures[0]
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(edit(Colorization(), image=grey).after[0].pictures, made.after[0].pictures)
    assert torch.equal(as_bytes(signed(grey)), grey)


@pytest.mark.parametrize(
    ("conditioner", "given", "message"),
    [
        (NoCondition, {"image": True}, "method=image_to_image: this model draws from no picture; give ckpt="),
        (Colorization, {}, "image: this method needs one; give the picture file to edit"),
        (Colorization, {"image": True, "mask": True}, "mask: conditioner 'Colorization' fills no mask"),
        (
            Colorization,
            {"image": True, "targets": ["a red star"]},
            "target=a red star: this model reads a picture and no",
        ),
        (Colorization, {"image": True, "sources": ["a star"]}, "source: this method makes no use of it"),
        (Inpainting, {"image": True}, "mask: this model fills a part of a picture; give mask=PATH"),
    ],
)
def test_refusals(
    conditioner: type[Conditioner], given: dict[str, Any], message: str, image: Tensor, mask: Tensor
) -> None:
    real = {"image": image, "mask": mask}
    with pytest.raises(ValueError, match=message):
        edit(conditioner(), **{key: real[key] if value is True else value for key, value in given.items()})
