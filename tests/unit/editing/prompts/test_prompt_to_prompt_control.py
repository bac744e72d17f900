"""Prompt-to-prompt on small models of both kinds: exactness, what is injected when, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.attention.attend import sites_of
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import AttentionSite

SOURCE, TARGET = "a small red circle", "a blue striped circle"
STEPS = 5
SEEDS = [3, 4]


def model(name: str, conditioning: str = "adaln_zero") -> LatentDiffusion:
    """Of a kind of backbone, or a DiT of a kind of block."""
    conditioning = name if name == "in_context" else conditioning
    torch.manual_seed(0)
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2)
    conditioner.prepare([SOURCE, TARGET] * 4)
    widths: dict[str, Any] = {"channels": 4, "grid": 8, "context_width": 32, "vector_width": 32}
    backbone = (
        DiT(patch=2, width=64, depth=2, heads=4, conditioning=conditioning, **widths)
        if name != "unet"
        else UNet(model_channels=32, multipliers=(1, 2), residual_blocks=1, **widths)
    )
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    made = LatentDiffusion(autoencoder, Denoiser(backbone, cosine(), Velocity()), conditioner, 8)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def batch(prompt: str) -> dict[str, list[str]]:
    return {"captions": [prompt] * len(SEEDS)}


def drawing(sampler: Sampler | None = None, guidance: Guidance | None = None) -> Drawing:
    return Drawing(sampler or DDIM(STEPS), guidance or ClassifierFree(3.0), SEEDS)


def edited(
    made: LatentDiffusion,
    settings: EditSettings,
    source: str = SOURCE,
    target: str = TARGET,
    sampler: Sampler | None = None,
    guidance: Guidance | None = None,
) -> tuple[Tensor, Tensor, PromptToPromptControl]:
    """Source pictures, edited pictures, and the control of the run."""
    edit = PromptEdit.between(made.conditioner.words(source), made.conditioner.words(target), STEPS, settings)
    controls: list[PromptToPromptControl] = []

    def control(rows: Sequence[int]) -> PromptToPromptControl:
        controls.append(PromptToPromptControl([edit] * len(rows), settings))
        return controls[-1]

    pictures = sample_pairs(made, drawing(sampler, guidance), batch(source), batch(target), control)
    return *pictures, controls[0]


def plain(
    made: LatentDiffusion, prompt: str, sampler: Sampler | None = None, guidance: Guidance | None = None
) -> Tensor:
    return sample(made, drawing(sampler, guidance), batch(prompt))


@pytest.mark.parametrize("guidance", ["none", "neutral", "auto"])
@pytest.mark.parametrize("name", ["dit", pytest.param("unet", marks=pytest.mark.slow)])
def test_tau_zero_is_the_plain_target_sample_under_guidance_of_one_pass(name: str, guidance: str) -> None:
    made = model(name)
    choices: dict[str, Guidance] = {
        "none": NoGuidance(),
        "neutral": ClassifierFree(1.0),
        "auto": Autoguidance(2.0, made.denoiser, made.conditioner),
    }
    source, target, _ = edited(made, EditSettings(tau=0), guidance=choices[guidance])
    assert torch.equal(target, plain(made, TARGET, guidance=choices[guidance]))
    assert torch.equal(source, plain(made, SOURCE, guidance=choices[guidance]))


SAMPLERS = [DDIM(STEPS), DDPM(STEPS), Heun(STEPS), UniPC(STEPS)]


def drawn_by(name: str, sampler: Sampler) -> Any:
    """A case. Samplers do not see the backbone: with `make test`, each draws with a DiT, and one with a UNet."""
    slow = name == "unet" and not isinstance(sampler, DDPM)
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(name, sampler, id=f"{name}-{type(sampler).__name__}", marks=marks)


EACH = [drawn_by(name, sampler) for name in ("dit", "unet", "in_context") for sampler in SAMPLERS]


@pytest.mark.parametrize(("name", "sampler"), EACH)
def test_tau_zero_is_the_plain_target_sample(name: str, sampler: Sampler) -> None:
    made = model(name)
    source, target, control = edited(made, EditSettings(tau=0), sampler=sampler)
    assert torch.equal(target, plain(made, TARGET, sampler))
    assert torch.equal(source, plain(made, SOURCE, sampler))
    assert control.touched == set()


@pytest.mark.parametrize(("name", "sampler"), EACH)
def test_an_identity_edit_gives_the_source_bit_for_bit(name: str, sampler: Sampler) -> None:
    made = model(name)
    for settings in (EditSettings(tau=1, self_tau=1), EditSettings(reweight={"red": 1}), EditSettings(blend=["red"])):
        source, target, _ = edited(made, settings, target=SOURCE, sampler=sampler)
        assert torch.equal(source, target)


@pytest.mark.parametrize("name", ["dit", "unet", "in_context"])
def test_every_site_of_the_model_is_edited(name: str) -> None:
    made = model(name)
    _, target, control = edited(made, EditSettings(tau=1, self_tau=1))
    sites = {site.name for site in sites_of(made.denoiser.backbone)}
    assert control.touched == sites
    assert len(sites) == {"dit": 4, "unet": 14, "in_context": 2}[name]
    assert not torch.equal(target, plain(made, TARGET))
    _, _, smaller = edited(made, EditSettings(tau=1, self_tau=1, self_side=4))
    wanted = {s for s in sites if "cross" in s} | (
        {s for s in sites if "self" in s} if name == "dit" else smaller.touched
    )
    assert smaller.touched == wanted
    if name == "unet":  # only the sites on 4 x 4 tokens remain
        assert sum("self" in s for s in smaller.touched) < sum("self" in s for s in sites)


@pytest.mark.parametrize("name", ["dit", pytest.param("unet", marks=pytest.mark.slow)])
def test_whole_and_decimal_numbers_mean_the_same(name: str) -> None:
    made = model(name)
    one = edited(made, EditSettings(tau=1, self_tau=1, word_tau={"blue": 0}))[1]
    assert torch.equal(one, edited(made, EditSettings(tau=1.0, self_tau=1.0, word_tau={"blue": 0.0}))[1])


@pytest.mark.parametrize("name", ["dit", pytest.param("unet", marks=pytest.mark.slow), "in_context"])
def test_weights_words_and_times_all_matter(name: str) -> None:
    made = model(name)
    ways = [
        EditSettings(),
        EditSettings(tau=0.4),
        EditSettings(self_tau=1.0),
        EditSettings(word_tau={"blue": 0.2}),
        EditSettings(preserve=["circle"]),
        EditSettings(reweight={"striped": -2.0}),
        EditSettings(reweight={"striped": -2.0}, reweight_until=0.4),
        EditSettings(blend=[], blend_threshold=0.9),
    ]
    pictures = [edited(made, way)[1].numpy().tobytes() for way in ways]
    assert len(set(pictures)) == len(ways)


def probs(rows: int = 4, queries: int = 4, keys: int = 16) -> Tensor:
    return torch.rand(rows, 2, queries, keys, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)


CROSS = AttentionSite("blocks.0.cross", "cross", (2, 2))
SELF = AttentionSite("blocks.0.self", "self", (2, 2))


def control_of(
    settings: EditSettings, source: str = SOURCE, target: str = TARGET
) -> tuple[PromptToPromptControl, Any, Any]:
    words = [model("dit").conditioner.words(prompt) for prompt in (source, target)]
    return PromptToPromptControl([PromptEdit.between(*words, STEPS, settings)] * 2, settings), *words


def test_maps_by_hand() -> None:
    """'small red' becomes 'blue striped', word by word; 'circle' is itself; 'blue' counts three times at first."""
    control, source, target = control_of(EditSettings(tau=0.6, reweight={"blue": 3}, reweight_until=0.2))
    maps = probs()
    for step in range(STEPS):
        control.before_step(step)
        if not control.wants(CROSS):
            assert step >= 3
            continue
        out = control.edit(maps, CROSS)
        assert torch.equal(out[:2], maps[:2])
        for word, origin in (("circle", "circle"), ("a", "a"), ("blue", "small"), ("striped", "red")):
            columns = [t for n in target.find(word, "") for t in target.tokens[n]]
            origins = [t for n in source.find(origin, "") for t in source.tokens[n]]
            factor = 3 if word == "blue" and step == 0 else 1
            if len(columns) == len(origins):
                wanted = maps[:2, ..., origins]
            else:
                wanted = (maps[:2, ..., origins].sum(-1, keepdim=True) / len(columns)).expand(-1, -1, -1, len(columns))
            torch.testing.assert_close(out[2:, ..., columns], factor * wanted)


def test_self_maps_are_the_sources_in_the_early_steps_on_small_grids() -> None:
    control, *_ = control_of(EditSettings(tau=0.8, self_side=4))
    maps = probs(keys=4)
    wanted = []
    for step in range(STEPS):
        control.before_step(step)
        wanted.append(control.wants(SELF))
        assert not control.wants(AttentionSite("x", "self", (8, 8)))
    assert wanted == [True, True, False, False, False]  # half of tau
    assert torch.equal(control.edit(maps, SELF), torch.cat([maps[:2], maps[:2]]))


def test_a_dit_that_attends_to_time_and_prompt_in_one_place() -> None:
    """Its cross-attention has two keys after the prompt's, which keep their maps."""
    made = model("dit", "cross_attention")
    _, target, control = edited(made, EditSettings(tau=1, self_tau=1, blend=["circle"]))
    assert any("cross" in site for site in control.touched)
    assert not torch.equal(target, plain(made, TARGET))
    assert torch.equal(edited(made, EditSettings(tau=0))[1], plain(made, TARGET))
    maps = probs(keys=18)
    chosen, *_ = control_of(EditSettings(tau=1, reweight={"blue": 0}))
    chosen.before_step(0)
    assert torch.equal(chosen.edit(maps, CROSS)[..., 16:], maps[..., 16:])


@pytest.mark.parametrize("source", ["a cat", "a small sleepy red cat on a mat ."])
def test_any_difference_in_length_is_accepted(source: str) -> None:
    made = model("dit")
    target = "a big tabby"
    _, pictures, control = edited(made, EditSettings(), source, target)
    assert bool(torch.isfinite(pictures.float()).all())
    assert control.touched


def test_outside_a_blend_the_latents_are_the_sources() -> None:
    made, seen, sizes = model("dit"), [], []
    settings = EditSettings(blend=["circle"], blend_from=0, blend_threshold=0.5)
    edit = PromptEdit.between(made.conditioner.words(SOURCE), made.conditioner.words(TARGET), STEPS, settings)
    controls: list[PromptToPromptControl] = []

    def control(rows: Sequence[int]) -> PromptToPromptControl:
        controls.append(PromptToPromptControl([edit] * len(rows), settings))
        return controls[-1]

    def on_step(step: int, latents: Tensor) -> None:
        assert controls[0].blend is not None
        first, second = latents.chunk(2)
        inside = controls[0].blend.mask(8, 8)
        assert bool(inside.any())
        sizes.append(float(inside.float().mean()))
        seen.append((first == second).all(dim=1, keepdim=True) | inside)

    sample_pairs(made, drawing(), batch(SOURCE), batch(TARGET), control, on_step)
    assert len(seen) == STEPS
    assert all(bool(same.all()) for same in seen)
    assert min(sizes) < 1
    assert 0 < controls[0].bytes < 10_000


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tau": 1.5}, "tau=1.5: give a share between 0 and 1"),
        ({"self_tau": -0.1}, "self_tau=-0.1"),
        ({"word_tau": {"blue": 2}}, "word_tau.blue=2"),
        ({"self_side": 0}, "self_side=0"),
        ({"reweight": {"blue": float("nan")}}, "reweight.blue=nan"),
        (
            {"word_tau": {"moon": 0.2}},
            "word_tau.moon: the prompt has no 'moon'; its words are a, blue, str",
        ),
        ({"reweight": {"red": 2}}, "reweight.red: the prompt has no 'red'"),
        ({"preserve": ["moon"]}, "preserve: the prompt has no 'moon'"),
        ({"blend": ["moon"]}, "blend: neither prompt has 'moon'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        control_of(EditSettings(**settings))


@pytest.mark.parametrize("settings", [{"preserve": ["big"]}, {"word_tau": {"big": 1}}])
def test_a_new_word_has_no_map_to_inject(settings: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"the source prompt has nothing in its place .* words that have are a, circle"
    ):
        control_of(EditSettings(**settings), "a circle", "a big circle")


def test_preserving_a_word_leaves_self_attention_alone() -> None:
    assert EditSettings(preserve=["circle"]).self_share == 0
    assert EditSettings(preserve=["circle"], self_tau=0.3).self_share == 0.3
    assert EditSettings(tau=0.6).self_share == 0.3


def test_a_word_of_weight_zero_still_has_its_place_in_a_blend() -> None:
    settings = EditSettings(reweight={"red": 0}, blend=[], blend_from=0)
    control, *_ = control_of(settings, target=SOURCE)
    control.before_step(0)
    assert control.wants(CROSS)
    out = control.edit(probs(), CROSS)
    assert control.blend is not None
    assert bool(control.blend.mask(2, 2).any())
    assert not torch.equal(out[2:], out[:2])


def test_a_conditioner_without_tokens_has_no_words_to_edit() -> None:
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2, tokens=False)
    conditioner.prepare([SOURCE])
    with pytest.raises(ValueError, match="reads no words"):
        conditioner.words(SOURCE)


def test_different_edits_in_several_batches() -> None:
    """Nine pairs on a CPU are two batches; each pair's edit is its own."""
    made = model("dit")
    targets = [TARGET if i % 2 else "a green circle" for i in range(9)]
    words = [made.conditioner.words(target) for target in targets]
    settings = EditSettings()
    edits = [PromptEdit.between(made.conditioner.words(SOURCE), each, STEPS, settings) for each in words]

    def control(rows: Sequence[int]) -> PromptToPromptControl:
        return PromptToPromptControl([edits[row] for row in rows], settings)

    nine = drawing().of(range(9))
    together = sample_pairs(made, nine, {"captions": [SOURCE] * 9}, {"captions": targets}, control)[1]
    for row in (1, 8):
        one = PromptToPromptControl([edits[row]] * 8, settings)
        source, target = {"captions": [SOURCE]}, {"captions": targets[row : row + 1]}
        alone = sample_pairs(made, nine.of([row]), source, target, lambda rows, one=one: one)[1]
        assert torch.equal(alone[0], together[row])


def test_whether_an_edit_changes_anything() -> None:
    words = model("dit").conditioner.words(SOURCE)
    assert PromptEdit.between(words, words, STEPS, EditSettings()).changes_nothing
    assert PromptEdit.between(words, words, STEPS, EditSettings(reweight={"red": 1})).changes_nothing
    assert not PromptEdit.between(words, words, STEPS, EditSettings(reweight={"red": 2})).changes_nothing
