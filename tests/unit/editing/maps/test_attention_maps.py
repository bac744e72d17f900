"""Maps of words on small models of both kinds: the right averages, of the right sites and steps, beside the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ldmlab.attention.attend import sites_of
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.text import TextTransformer
from ldmlab.conditioners.words import PromptWords
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.editing.maps.attention_maps import AttentionMaps, Group, one_group
from ldmlab.editing.maps.map_groups import By, grouping, word_sites
from ldmlab.editing.maps.word_maps import MapColumns, WordMaps, sample_with_maps
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.guidance.interval import Interval
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.dpm_solver_2m_sde import DPMSolver2MSDE
from ldmlab.samplers.euler import Euler
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import AttentionControl, AttentionSite

PROMPTS = ["a small red circle", "a blue striped circle , big"]
SEEDS = [3, 4]
STEPS = 5
SAMPLERS = [kind(STEPS) for kind in (DDIM, DDPM, DPMSolver2M, DPMSolver2MSDE, Euler, Heun, UniPC)]
SITE = AttentionSite("blocks.0.cross", "cross", (2, 2))


def drawn_by(name: str, sampler: Sampler) -> Any:
    """A case. Samplers do not see the backbone: with `make test`, each draws with a DiT, and one with a UNet."""
    slow = name == "unet" and not isinstance(sampler, DDIM)
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(name, sampler, id=f"{name}-{type(sampler).__name__}", marks=marks)


def model(name: str, conditioning: str = "adaln_zero", grid: int = 8) -> LatentDiffusion:
    torch.manual_seed(0)
    conditioner = TextTransformer(vocabulary=300, length=16, width=32, depth=1, heads=2)
    conditioner.prepare(PROMPTS * 4)
    widths: dict[str, Any] = {"channels": 4, "grid": grid, "context_width": 32, "vector_width": 32}
    backbone = (
        DiT(patch=2, width=64, depth=2, heads=4, conditioning=conditioning, **widths)
        if name == "dit"
        else UNet(model_channels=32, multipliers=(1, 2), residual_blocks=1, **widths)
    )
    autoencoder = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    made = LatentDiffusion(autoencoder, Denoiser(backbone, cosine(), Velocity()), conditioner, grid)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def columns(made: LatentDiffusion, phrases: Sequence[str] | None = None) -> list[MapColumns]:
    return [MapColumns.of(made.conditioner.words(prompt), phrases) for prompt in PROMPTS]


def drawing(sampler: Sampler | None = None, guidance: Guidance | None = None) -> Drawing:
    return Drawing(sampler or DDIM(STEPS), guidance or ClassifierFree(3.0), SEEDS)


def drawn(
    made: LatentDiffusion, group: Group = one_group, sampler: Sampler | None = None, half: bool = False
) -> tuple[Tensor, WordMaps]:
    batch = {"captions": PROMPTS}
    return sample_with_maps(made, drawing(sampler), batch, columns(made), group, half)


class Store:
    """Keeps every map of every call, with its step and site."""

    def __init__(self) -> None:
        self.maps: list[tuple[int, AttentionSite, Tensor]] = []
        self.step = -1

    def wants(self, site: AttentionSite) -> bool:
        return site.kind == "cross"

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        self.maps.append((self.step, site, probs[: len(PROMPTS)]))
        return probs

    def before_step(self, step: int) -> None:
        self.step = step

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        raise AssertionError("an observer has no say")


def stored(made: LatentDiffusion, sampler: Sampler) -> list[tuple[int, AttentionSite, Tensor]]:
    store = Store()
    assert isinstance(store, AttentionControl)
    sample(made, drawing(sampler), {"captions": PROMPTS}, observer=lambda rows: store)
    return store.maps


def by_hand(made: LatentDiffusion, maps: Sequence[tuple[int, AttentionSite, Tensor]], size: int) -> list[list[Tensor]]:
    """For each picture and word, in float64, the mean of the enlarged maps of all that was stored."""
    result = []
    for row, prompt in enumerate(PROMPTS):
        words = made.conditioner.words(prompt)
        result.append([])
        for tokens in words.tokens:
            total = torch.zeros(size, size, dtype=torch.float64)
            for _, site, probs in maps:
                one = probs[row].double().mean(dim=0)[:, list(tokens)].sum(dim=1).reshape(1, 1, *site.grid)
                total += F.interpolate(one, size=(size, size), mode="bilinear", align_corners=False)[0, 0]
            result[-1].append(total / len(maps))
    return result


def check(got: Tensor, wanted: list[list[Tensor]], tolerance: float = 1e-6) -> None:
    for row, words in enumerate(wanted):
        for column, one in enumerate(words):
            torch.testing.assert_close(got[row, column].double(), one, rtol=tolerance, atol=tolerance)
        assert not got[row, len(words) :].any()


@pytest.mark.parametrize(("name", "sampler"), [drawn_by(n, s) for n in ("dit", "unet") for s in SAMPLERS])
def test_the_picture_is_the_one_without_maps_and_maps_are_the_mean_of_all(name: str, sampler: Sampler) -> None:
    made = model(name)
    pictures, maps = drawn(made, sampler=sampler)
    assert torch.equal(pictures, sample(made, drawing(sampler), {"captions": PROMPTS}))
    check(maps.at((16, 16)), by_hand(made, stored(made, sampler), 16))


@pytest.mark.parametrize("guidance", [NoGuidance(), Interval(3.0, 0.2, 0.6)], ids=["none", "interval"])
def test_maps_do_not_depend_on_when_guidance_calls_the_network(guidance: Any) -> None:
    made = model("dit")
    batch = {"captions": PROMPTS}
    pictures, maps = sample_with_maps(made, drawing(guidance=guidance), batch, columns(made))
    assert torch.equal(pictures, sample(made, drawing(guidance=guidance), batch))
    assert maps.groups == ["all"]
    assert 0 < float(maps.at((8, 8)).max()) < 1


@pytest.mark.parametrize(("name", "kind"), [("dit", "adaln_zero"), ("dit", "in_context"), ("unet", "")])
def test_every_site_that_attends_to_words_is_read(name: str, kind: str) -> None:
    made = model(name, kind)
    backbone = made.denoiser.backbone
    wanted = {site.name for site in sites_of(backbone) if site.name.endswith((".cross", ".joint"))}
    _, maps = drawn(made, grouping("site", STEPS))
    assert maps.sites == set(maps.groups) == wanted == set(word_sites(backbone, ""))
    assert len(wanted) == len(maps.groups) == (2 if name == "dit" else 7)


@pytest.mark.parametrize(
    ("name", "sampler"), [drawn_by(n, s) for n in ("dit", "unet") for s in (DDIM(STEPS), Heun(STEPS))]
)
def test_groups_are_the_means_of_their_steps_and_sites(name: str, sampler: Sampler) -> None:
    made = model(name)
    everything_seen = stored(made, sampler)
    assert len({step for step, *_ in everything_seen}) == STEPS
    _, maps = drawn(made, grouping("step", STEPS, 2), sampler)
    assert maps.groups == ["steps 1-3", "steps 4-5"]
    for title, steps in zip(maps.groups, ((0, 1, 2), (3, 4)), strict=True):
        check(maps.at((16, 16), title), by_hand(made, [m for m in everything_seen if m[0] in steps], 16))
    check(maps.at((16, 16)), by_hand(made, everything_seen, 16))
    chosen = everything_seen[1][1].name
    _, maps = drawn(made, grouping("site", STEPS, sites=[chosen], known=[chosen]), sampler)
    assert maps.groups == [chosen]
    check(maps.at((16, 16), chosen), by_hand(made, [m for m in everything_seen if m[1].name == chosen], 16))


@pytest.mark.parametrize("conditioning", ["adaln_zero", "cross_attention", "in_context"])
def test_words_and_marks_share_all_attention(conditioning: str) -> None:
    """A DiT of the second kind attends to the time and the pooled prompt as well, after the prompt's tokens, and one of
    the third to the picture, before them.
    """
    made = model("dit", conditioning)
    prompt = made.conditioner.words(PROMPTS[1])
    words = MapColumns.of(prompt).shares
    marks = torch.zeros(prompt.length, 1)
    marks[list(prompt.others)] = 1
    control = AttentionMaps(torch.cat([words, marks], dim=1)[None])
    sample(made, Drawing(DDIM(2), NoGuidance(), [0]), {"captions": PROMPTS[1:]}, observer=lambda rows: control)
    total = control.at((8, 8)).sum(dim=1)
    assert torch.allclose(total, torch.ones(())) if conditioning == "adaln_zero" else bool((total < 0.999).all())
    assert control.at((8, 8)).shape == (1, len(prompt.words) + 1, 8, 8)


def test_a_word_of_several_tokens_has_their_sum_and_a_phrase_that_of_its_words() -> None:
    prompt = model("dit").conditioner.words("zigzag circle , zigzag")
    assert max(len(tokens) for tokens in prompt.tokens) > 1
    every = MapColumns.of(prompt)
    assert every.titles == ("zigzag", "circle", ",", "zigzag")
    assert torch.equal(every.shares.sum(dim=1)[list(prompt.others)], torch.zeros(len(prompt.others)))
    for column, tokens in zip(every.shares.T, prompt.tokens, strict=True):
        assert torch.equal(column.nonzero()[:, 0], torch.tensor(tokens))
    some = MapColumns.of(prompt, ["Zigzag", "circle ,"])
    assert some.titles == ("Zigzag", "circle ,")
    assert torch.equal(some.shares[:, 0], every.shares[:, 0] + every.shares[:, 3])  # at both places
    assert torch.equal(some.shares[:, 1], every.shares[:, 1] + every.shares[:, 2])
    with pytest.raises(ValueError, match="words: the prompt has no 'moon'; its words are zigzag, circle, ,, zigzag"):
        MapColumns.of(prompt, ["moon"])


def test_a_token_that_two_words_share_counts_once_and_cut_words_not_at_all() -> None:
    prompt = PromptWords(("it", "s", "far"), ((1,), (1, 2), ()), (0, 3))
    found = MapColumns.of(prompt)
    assert found.titles == ("it", "s")
    assert found.shares.tolist() == [[0, 0], [0.5, 0.5], [0, 1], [0, 0]]


def test_several_batches_are_the_same_maps() -> None:
    """Nine pictures on a CPU are two batches of eight rows, the second filled up."""
    made = model("dit")
    prompts = [PROMPTS[i % 2] for i in range(9)]
    each = [MapColumns.of(made.conditioner.words(prompt)) for prompt in prompts]
    nine = drawing(DDIM(2)).of(range(9))
    _, maps = sample_with_maps(made, nine, {"captions": prompts}, each)
    together = maps.at((8, 8))
    assert together.shape == (9, 6, 8, 8)
    assert [len(part.words) for part in maps.parts] == [8, 1]
    _, alone = sample_with_maps(made, nine.of([8]), {"captions": prompts[8:]}, each[8:])
    assert torch.equal(alone.at((8, 8))[0], together[8, :4])


def uniform(rows: int, queries: int = 4, keys: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(rows, 2, queries, keys, generator=torch.Generator().manual_seed(seed)).softmax(dim=-1)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("name", "by"),
    [
        *(("dit", by) for by in (None, "step", "site")),
        *(pytest.param("unet", by, marks=pytest.mark.slow) for by in (None, "step")),
        ("unet", "site"),
    ],
)
def test_memory_is_that_of_the_means_and_one_sum(name: str, by: By | None, half: bool) -> None:
    made = model(name)
    _, few = drawn(made, grouping(by, STEPS, 1), half=half)
    raw = few.raw()
    assert all(tensor.dtype == (torch.float16 if half else torch.float32) for tensor in raw.values())
    sizes = [tensor.numel() for tensor in raw.values()]
    assert few.peak <= (2 if half else 4) * sum(sizes) + 4 * max(sizes)
    if by is None:
        _, many = drawn(made, one_group, DDIM(2 * STEPS), half)
        assert many.peak == few.peak


def test_half_precision_does_not_lose_what_comes_late() -> None:
    """Site after site takes its turn for 400 steps: the mean keeps following, where a float16 sum would stand still."""
    other = AttentionSite("blocks.1.cross", "cross", (1, 4))
    control = AttentionMaps(torch.eye(6)[None], half=True)
    exact = torch.zeros(4, 6, dtype=torch.float64)
    for step in range(400):
        probs = uniform(1, seed=step) * (1 if step < 200 else 0.5)
        control.before_step(step)
        control.edit(probs, SITE)
        control.edit(probs, other)
        exact += probs[0].double().mean(dim=0)
    kept = control.raw()["all", SITE.grid][0].flatten(1).T.double()
    torch.testing.assert_close(kept, exact / 400, rtol=0.02, atol=0)


def test_a_control_gives_back_what_it_gets() -> None:
    control = AttentionMaps(torch.eye(6)[None])
    probs = uniform(3)
    before = probs.clone()
    assert control.edit(probs, SITE) is probs
    assert torch.equal(probs, before)
    latents = torch.zeros(3, 4, 2, 2)
    assert control.after_step(0, latents) is latents
    assert not control.wants(AttentionSite("blocks.0.self", "self", (2, 2)))
    assert control.bytes == control.peak == 6 * 4 * 4


def test_ranges_of_steps() -> None:
    group = grouping("step", 7, 3)
    titles = [group(step, SITE) for step in range(7)]
    assert titles == ["steps 1-3"] * 3 + ["steps 4-5"] * 2 + ["steps 6-7"] * 2
    assert [grouping("step", 2, 2)(step, SITE) for step in range(2)] == ["step 1", "step 2"]
    assert grouping(None, 2, 4)(0, SITE) == "all"
    with pytest.raises(ValueError, match="step_bins=4: the sampler makes 2 steps; give at most as many"):
        grouping("step", 2, 4)


def test_sites_that_there_are_not() -> None:
    with pytest.raises(ValueError, match=r"sites: the model has no 'blocks\.9\.cross'; its .* are blocks\.0\.cross"):
        grouping(None, 2, sites=["blocks.9.cross"], known=[SITE.name])
    with pytest.raises(ValueError, match="no attention map was read"):
        AttentionMaps(torch.eye(6)[None]).at((4, 4))


@pytest.mark.parametrize("kind", ["in_context", "plain"])
def test_a_model_that_attends_to_no_words(kind: str) -> None:
    plain = UNet(channels=4, grid=8, model_channels=32, multipliers=(1, 2), residual_blocks=1)
    backbone = plain if kind == "plain" else DiT(4, 8, 2, 32, 1, 2, vector_width=8, conditioning="in_context")
    with pytest.raises(ValueError, match="grid_attention=true: the model has no cross-attention"):
        word_sites(backbone, "grid_attention=true")
