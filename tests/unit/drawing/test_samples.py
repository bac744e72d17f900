"""Pictures one by one: bytes that belong to the picture, and bytes that are right."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ldmlab.attention.backends import attention_probs
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.noise import picture_seeds
from ldmlab.types import Uncontrolled

BOTH = ("model", "unet")


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        pytest.param("model", DDIM(3), id="model-ddim"),
        pytest.param("model", DDPM(3), id="model-ddpm"),
        pytest.param("unet", DDIM(3), id="unet-ddim", marks=pytest.mark.slow),
        pytest.param("unet", DDPM(3), id="unet-ddpm"),
    ],
)
def test_same_bytes_whatever_the_batch_size(
    name: str, sampler: Sampler, captions: list[str], request: pytest.FixtureRequest
) -> None:
    made = request.getfixturevalue(name)

    def draw(batch_size: int, count: int = 16, first: int = 0) -> Tensor:
        drawing = Drawing(sampler, ClassifierFree(3.0), picture_seeds(0, count, first), batch_size)
        return sample(made, drawing, {"captions": captions[first : first + count]})

    together = draw(16)
    assert together.shape == (16, 3, 16, 16)
    assert together.dtype == torch.uint8
    assert torch.equal(draw(3), together)
    for count, first in ((1, 15), (2, 3), (9, 4)):
        assert torch.equal(draw(5, count, first), together[first : first + count])
    assert len({tuple(picture.flatten().tolist()) for picture in together}) == 16


def test_seed_caption_guidance_and_sampler_all_matter(model: LatentDiffusion) -> None:
    def once(caption: str = "a big red 1", seed: int = 0, **changes: Sampler | Guidance) -> Tensor:
        how: dict[str, Sampler | Guidance] = {"sampler": DDIM(3), "guidance": ClassifierFree(3.0)} | changes
        return sample(model, Drawing(**how, seeds=[seed]), {"captions": [caption]})  # type: ignore[arg-type]

    reference = once()
    assert torch.equal(reference, once())
    neutral = once(guidance=ClassifierFree(1.0))
    others = [once("a small blue 2"), once(seed=1), once(sampler=DDPM(3)), neutral]
    assert not any(torch.equal(reference, other) for other in others)
    assert torch.equal(neutral, once(guidance=NoGuidance()))


def test_steps_are_shown_and_the_last_is_what_is_decoded(model: LatentDiffusion, captions: list[str]) -> None:
    shown: list[tuple[int, Tensor]] = []

    def on_step(step: int, latents: Tensor) -> None:
        shown.append((step, latents.clone()))

    pictures = sample(model, Drawing(DDIM(4), NoGuidance(), [0, 1], 1), {"captions": captions[:2]}, on_step)
    assert [step for step, _ in shown] == [0, 1, 2, 3]
    assert torch.equal(model.decode(shown[3][1])[:2], pictures)


@pytest.mark.parametrize("name", BOTH)
def test_without_control_no_probabilities_are_computed(
    name: str, captions: list[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def watched(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        taken.append(q.shape[0])
        return attention_probs(q, k, mask)

    monkeypatch.setattr("ldmlab.attention.attend.attention_probs", watched)
    drawing = Drawing(DDIM(2), ClassifierFree(3.0), [0], 8)
    sample(request.getfixturevalue(name), drawing, {"captions": captions[:1]})
    assert taken == []


@pytest.mark.parametrize("guidance", [NoGuidance(), ClassifierFree(3.0)], ids=["none", "joint"])
@pytest.mark.parametrize("sampler", [DDIM(3), DDPM(3)], ids=["ddim", "ddpm"])
def test_a_pair_is_two_plain_samples_of_one_seed(
    sampler: Sampler, guidance: Guidance, model: LatentDiffusion, captions: list[str]
) -> None:
    """Nine pairs: more than are drawn at once under either guidance, so that some are filled up."""
    drawing, asked = Drawing(sampler, guidance, picture_seeds(1, 9)), list[list[int]]()

    def control(rows: Sequence[int]) -> Uncontrolled:
        asked.append(list(rows))
        return Uncontrolled()

    batches = [{"captions": captions[:9]}, {"captions": captions[7:]}]
    pairs = sample_pairs(model, drawing, *batches, control)
    assert all(map(torch.equal, pairs, [sample(model, drawing, batch) for batch in batches]))
    at_once = 8 if guidance.joint else 4
    assert [len(rows) for rows in asked] == [at_once] * -(-9 // at_once)
    assert asked[-1] == [8] * at_once
