"""The whole model: bytes that belong to the picture, and bytes that are right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.attention.backends import attention_probs
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.pipeline import LatentDiffusion, to_uint8
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.noise import picture_seeds
from ldmlab.types import Conditioning

CAPTIONS = [f"a {size} {colour} {shape}" for size in ("big", "small") for colour in ("red", "blue") for shape in "1234"]


def backbone(name: str) -> nn.Module:
    widths: dict[str, Any] = {"context_width": 32, "vector_width": 32}
    if name == "dit":
        return DiT(channels=4, grid=8, patch=2, width=64, depth=2, heads=4, **widths)
    return UNet(channels=4, grid=8, model_channels=32, multipliers=(1, 2), residual_blocks=1, **widths)


def model(name: str) -> LatentDiffusion:
    """A small model, all of whose weights do something."""
    torch.manual_seed(0)
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2)
    conditioner.prepare(CAPTIONS)
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    made = LatentDiffusion(autoencoder, Denoiser(backbone(name), scaled_linear(), Epsilon()), conditioner, 8)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


def draw(made: LatentDiffusion, sampler: Sampler, batch_size: int, count: int = 16, first: int = 0) -> Tensor:
    batch = {"captions": CAPTIONS[first : first + count]}
    return made.sample(batch, picture_seeds(0, count, first), sampler, ClassifierFree(3.0), batch_size)


@pytest.mark.parametrize("sampler", [DDIM(3), DDPM(3)], ids=["ddim", "ddpm"])
@pytest.mark.parametrize("name", ["dit", "unet"])
def test_same_bytes_whatever_the_batch_size(name: str, sampler: Sampler) -> None:
    made = model(name)
    together = draw(made, sampler, 16)
    assert together.shape == (16, 3, 16, 16)
    assert together.dtype == torch.uint8
    assert torch.equal(draw(made, sampler, 3), together)
    for count, first in ((1, 15), (2, 3), (9, 4)):
        assert torch.equal(draw(made, sampler, 5, count, first), together[first : first + count])
    assert len({tuple(picture.flatten().tolist()) for picture in together}) == 16


def test_seed_caption_guidance_and_sampler_all_matter() -> None:
    made = model("dit")

    def once(caption: str = "a big red 1", seed: int = 0, sampler: Sampler | None = None, scale: float = 3.0) -> Tensor:
        return made.sample({"captions": [caption]}, [seed], sampler or DDIM(3), ClassifierFree(scale))

    reference = once()
    assert torch.equal(reference, once())
    others = [once("a small blue 2"), once(seed=1), once(sampler=DDPM(3)), once(scale=1.0)]
    assert not any(torch.equal(reference, other) for other in others)
    assert torch.equal(once(scale=1.0), made.sample({"captions": ["a big red 1"]}, [0], DDIM(3), NoGuidance()))


def test_steps_are_shown_and_the_last_is_what_is_decoded() -> None:
    made = model("dit")
    shown: list[tuple[int, Tensor]] = []

    def on_step(step: int, latents: Tensor) -> None:
        shown.append((step, latents.clone()))

    pictures = made.sample({"captions": CAPTIONS[:2]}, [0, 1], DDIM(4), NoGuidance(), batch_size=1, on_step=on_step)
    assert [step for step, _ in shown] == [0, 1, 2, 3]
    assert torch.equal(made.decode(shown[3][1])[:2], pictures)


def test_a_negative_prompt_takes_the_place_of_the_null_condition() -> None:
    made = model("dit")

    def once(negative: str | None) -> Tensor:
        batch = None if negative is None else {"captions": [negative] * 2}
        return made.sample({"captions": CAPTIONS[:2]}, [0, 1], DDIM(3), ClassifierFree(4.0), negative=batch)

    assert torch.equal(once(""), once(None))  # the null condition is the empty prompt
    assert not torch.equal(once("a small blue 2"), once(None))
    with pytest.raises(ValueError, match="no use of a negative prompt"):
        made.sample({"captions": CAPTIONS[:1]}, [0], DDIM(3), NoGuidance(), negative={"captions": ["x"]})


def test_autoguidance_reads_the_batch_with_the_weaker_models_conditioner() -> None:
    made, weak = model("dit"), model("unet")
    batch, seeds = {"captions": CAPTIONS[:2]}, [0, 1]
    guided = made.sample(batch, seeds, DDIM(3), Autoguidance(2.0, weak.denoiser, weak.conditioner))
    assert not torch.equal(guided, made.sample(batch, seeds, DDIM(3), NoGuidance()))
    neutral = made.sample(batch, seeds, DDIM(3), Autoguidance(1.0, weak.denoiser, weak.conditioner))
    difference = neutral.int() - made.sample(batch, seeds, DDIM(3), NoGuidance()).int()
    assert int(difference.abs().max()) <= 1


def test_large_grids_are_drawn_one_by_one_on_a_cpu() -> None:
    made = model("dit")
    assert made.rows(64) == 8
    made.latent_shape = (4, 32, 32)
    assert made.rows(64) == 1


def test_rounding_and_clamping() -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, -1.7, 1.2, 2 * 100.4 / 255 - 1, 2 * 100.6 / 255 - 1])
    assert to_uint8(values).tolist() == [0, 255, 128, 0, 255, 100, 101]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 127.5 - 1), every)
    assert to_uint8(torch.ones(1, dtype=torch.bfloat16)).tolist() == [255]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_picture_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="the pictures hold NaN or infinite values"):
        to_uint8(torch.tensor([0.0, bad]))


def test_a_negative_prompt_leads_away_beside_the_same_picture() -> None:
    conditioner = Inpainting("sd", TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2))
    conditioner.prepare(CAPTIONS)
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    network = DiT(4, 8, patch=2, width=64, depth=1, heads=4, context_width=32, vector_width=32, concat_channels=5)
    made = LatentDiffusion(autoencoder, Denoiser(network, scaled_linear(), Epsilon()), conditioner, 8).eval()
    seen: list[Conditioning] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[0, :8] = masks[1, :, 8:] = True
    batch = {"images": torch.randn(2, 3, 16, 16), "masks": masks, "captions": CAPTIONS[:2]}
    made.sample(batch, [0, 1], DDIM(1), ClassifierFree(2.0), negative={"captions": CAPTIONS[2:4]})
    cond, negative = seen[0].concat.chunk(2)
    assert torch.equal(cond, negative)
    torch.testing.assert_close(cond[:2], conditioner(batch).concat)
    context = conditioner({**batch, "captions": CAPTIONS[2:4]}).context
    torch.testing.assert_close(seen[0].context[8:10], context)


@pytest.mark.parametrize("name", ["dit", "unet"])
def test_without_control_no_probabilities_are_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def watched(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        taken.append(q.shape[0])
        return attention_probs(q, k, mask)

    monkeypatch.setattr("ldmlab.attention.attend.attention_probs", watched)
    draw(model(name), DDIM(2), batch_size=8, count=1)
    assert taken == []
