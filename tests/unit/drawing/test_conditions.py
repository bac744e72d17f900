"""What to draw, and what to lead away from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.text import TextTransformer
from ldmlab.drawing.conditions import Conditions, Subject, conditions, read_of
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.ddim import DDIM
from ldmlab.types import Conditioning


def same(one: Conditioning | None, other: Conditioning | None) -> bool:
    """Up to the rounding of batches of other sizes."""
    if one is None or other is None:
        return one is other
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("context", "context_mask", "vector", "concat")]
    return all(a is b if a is None or b is None else torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_rows_are_picked_and_may_come_again(model: LatentDiffusion, captions: list[str]) -> None:
    made = conditions(model, ClassifierFree(2.0), Subject({"captions": captions}), [3, 5, 5])
    assert same(made.cond, model.conditioner({"captions": [captions[3], captions[5], captions[5]]}))
    assert same(made.uncond, model.conditioner.null(3))


def test_each_guidance_has_what_it_leads_away_from(
    model: LatentDiffusion, unet: LatentDiffusion, captions: list[str]
) -> None:
    batch, negative = {"captions": captions[:2]}, {"captions": captions[2:4]}
    subjects = [Subject(batch), Subject(batch, negative)]
    null, other = (conditions(model, ClassifierFree(2.0), subject, [0, 1]).uncond for subject in subjects)
    assert same(null, model.conditioner.null(2))
    assert same(other, model.conditioner(negative))
    assert conditions(model, NoGuidance(), subjects[0], [0, 1]).uncond is None
    weaker = Autoguidance(2.0, unet.denoiser, unet.conditioner)
    assert same(conditions(model, weaker, subjects[0], [0, 1]).uncond, unet.conditioner(batch))
    for guidance in (NoGuidance(), weaker):
        with pytest.raises(ValueError, match="no use of a negative prompt"):
            conditions(model, guidance, subjects[1], [0, 1])


def test_no_batch_is_the_null_condition_which_cannot_be_guided(model: LatentDiffusion) -> None:
    made = conditions(model, NoGuidance(), Subject(None), [0, 0, 0])
    assert same(made.cond, model.conditioner.null(3))
    assert made.uncond is None
    with pytest.raises(ValueError, match="needs a condition and a null condition"):
        ClassifierFree(2.0).bind(model.denoiser, made.cond, made.uncond)


def test_a_weaker_model_is_brought_to_where_the_model_is(model: LatentDiffusion, captions: list[str]) -> None:
    class Elsewhere(Autoguidance):
        def to(self, *args: object, **_: object) -> Elsewhere:  # type: ignore[override]
            brought.append(args)
            return self

    brought: list[tuple[object, ...]] = []
    guidance = Elsewhere(2.0, model.denoiser, model.conditioner)
    conditions(model, guidance, Subject({"captions": captions}), [0])
    assert brought == [(model.device,)]


def test_one_below_the_other() -> None:
    one, two = (Conditioning(vector=torch.full((1, 2), value)) for value in (1.0, 2.0))
    both = Conditions.cat([Conditions(one, two), Conditions(two, one)])
    assert both.cond.vector is not None
    assert both.uncond is not None
    assert both.cond.vector[:, 0].tolist() == [1, 2]
    assert both.uncond.vector is not None
    assert both.uncond.vector[:, 0].tolist() == [2, 1]
    assert Conditions.cat([Conditions(one), Conditions(two)]).uncond is None


def test_a_negative_prompt_takes_the_place_of_the_null_condition(model: LatentDiffusion, captions: list[str]) -> None:
    drawing = Drawing(DDIM(3), ClassifierFree(4.0), [0, 1])

    def once(negative: str | None) -> Tensor:
        batch = None if negative is None else {"captions": [negative] * 2}
        return sample(model, drawing, {"captions": captions[:2]}, negative=batch)

    assert torch.equal(once(""), once(None))  # the null condition is the empty prompt
    assert not torch.equal(once("a small blue 2"), once(None))


def test_autoguidance_reads_the_batch_with_the_weaker_models_conditioner(
    model: LatentDiffusion, unet: LatentDiffusion, captions: list[str]
) -> None:
    def once(guidance: Guidance) -> Tensor:
        return sample(model, Drawing(DDIM(3), guidance, [0, 1]), {"captions": captions[:2]})

    plain = once(NoGuidance())
    assert not torch.equal(once(Autoguidance(2.0, unet.denoiser, unet.conditioner)), plain)
    neutral = once(Autoguidance(1.0, unet.denoiser, unet.conditioner))
    assert int((neutral.int() - plain.int()).abs().max()) <= 1


def test_a_negative_prompt_leads_away_beside_the_same_picture(
    make_model: Callable[[Conditioner], LatentDiffusion], make_text: Callable[[], TextTransformer], captions: list[str]
) -> None:
    conditioner = Inpainting("sd", make_text())
    made = make_model(conditioner)
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[0, :8] = masks[1, :, 8:] = True
    batch = {"images": torch.randn(2, 3, 16, 16), "masks": masks, "captions": captions[:2]}
    subject = Subject(batch, {"captions": captions[2:4]})
    found = conditions(made, ClassifierFree(2.0), subject, [0, 1])
    assert found.uncond is not None
    assert found.cond.concat is not None
    assert found.uncond.concat is not None
    assert torch.equal(found.cond.concat, found.uncond.concat)
    assert same(found.cond, conditioner(batch))
    assert same(found.uncond, conditioner({**batch, "captions": captions[2:4]}))


def test_what_is_read_of_a_batch_of_data(model: LatentDiffusion, captions: list[str]) -> None:
    batch = {"captions": captions, "labels": [1] * 16, "keys": captions}
    assert read_of(model, NoGuidance(), batch) == {"captions": captions}
    with pytest.raises(ValueError, match="TextTransformer reads 'captions', which the data lack"):
        read_of(model, NoGuidance(), {"labels": [1]})
