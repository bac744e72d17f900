"""The block of docs/architecture.md, and DiT's own in-context block: trained on drawn scenes for seconds, then edited.

Both attend to picture and words in one softmax. Pixels of 12 x 12 pictures are their latents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.attention.attend import sites_of
from ldmlab.autoencoders.base import Autoencoder
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.dit_blocks import BLOCKS
from ldmlab.conditioners.text import TextTransformer
from ldmlab.counting.description import describe
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.editing.maps.word_maps import MapColumns, sample_with_maps
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import half_weights
from ldmlab.samplers.ddim import DDIM
from ldmlab.types import Conditioning
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import COLOURS, Scene, SceneObject

DOCUMENT = Path(__file__).parents[2] / "docs/architecture.md"
SIDE, STEPS, PAIRS = 12, 10, 8
CHOICES = ("red", "blue", "green")
EDITS = [(f"a {one} circle", f"a {other} circle") for one, other in permutations(CHOICES, 2)]


DRAWING = Drawing(DDIM(STEPS), ClassifierFree(2.0), range(PAIRS))


def batch(prompt: str) -> dict[str, list[str]]:
    return {"captions": [prompt] * PAIRS}


def documented() -> str:
    """The code of the worked example."""
    [code] = re.findall(r"```python\n(# src/ldmlab/backbones/mm_dit\.py.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(code)


@pytest.fixture(scope="module", autouse=True)
def mm_dit() -> Iterator[None]:
    """The documented file, imported as it would be."""
    exec(compile(documented(), "mm_dit.py", "exec"), {"__name__": "mm_dit"})
    yield
    del BLOCKS["mm_dit"]


class Pixels(Autoencoder):
    """Latents are pictures."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(3, 1)
        self.set_statistics(images.mean(dim=(0, 2, 3)), images.std(dim=(0, 2, 3)))

    def forward(self, images: Tensor) -> Any:
        raise NotImplementedError

    def posterior(self, images: Tensor) -> Any:
        raise NotImplementedError

    def reconstruct(self, raw: Tensor) -> Tensor:
        return raw

    def latents(self, images: Tensor) -> Tensor:
        mean, std = self._statistics()
        return (images - mean) / std


def scenes(count: int = 512) -> tuple[Tensor, list[str]]:
    """One object somewhere on white, and what it is."""
    rng = np.random.default_rng(0)
    pictures, captions = [], []
    for _ in range(count):
        colour, shape = CHOICES[rng.integers(len(CHOICES))], ("circle", "square")[rng.integers(2)]
        thing = SceneObject(shape, colour, "big", *rng.uniform(0.3, 0.7, 2), angle=0.0)
        pictures.append(render(Scene((thing,), "white"), SIDE))
        captions.append(f"a {colour} {shape}")
    return torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1, captions


def trained(kind: str, steps: int) -> tuple[LatentDiffusion, list[float]]:
    """A model, and its loss at each step."""
    torch.manual_seed(0)
    images, captions = scenes()
    conditioner = TextTransformer(vocabulary=300, length=6, width=32, depth=1, heads=2)
    conditioner.prepare(captions)
    backbone = DiT(3, SIDE, 2, width=48, depth=2, heads=4, context_width=32, vector_width=32, conditioning=kind)
    model = LatentDiffusion(Pixels(images), Denoiser(backbone, cosine(), Velocity()), conditioner, SIDE)
    latents, losses = model.autoencoder.latents(images), []
    tokens = conditioner.as_tensors({"captions": captions})["tokens"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.99), fused=True)
    for step in range(steps):
        rows = torch.randint(len(latents), (32,))
        timesteps = (999 * torch.sigmoid(0.8 + 1.2 * torch.randn(32))).long()  # noisy ones: there words decide
        cond = conditioner.drop(conditioner({"tokens": tokens[rows]}), 0.1, 32)
        loss = model.denoiser.loss(latents[rows], torch.randn(32, 3, SIDE, SIDE), timesteps, cond).mean()
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 50) * (1 - step / steps) ** 0.5
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses


@pytest.fixture(scope="module", params=[pytest.param("in_context", marks=pytest.mark.slow), "mm_dit"])
def begun(request: pytest.FixtureRequest, mm_dit: None) -> LatentDiffusion:
    """A model that has begun to learn."""
    return trained(request.param, 4)[0]


@pytest.fixture(scope="module", params=["in_context", "mm_dit"])
def model(request: pytest.FixtureRequest, mm_dit: None) -> LatentDiffusion:
    """A model that has learned colours."""
    made, losses = trained(request.param, 120)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    return made


def edited(made: LatentDiffusion, source: str, target: str, settings: EditSettings) -> tuple[Tensor, Tensor]:
    """Pictures of the source and of its edit, a seed each."""
    edit = PromptEdit.between(made.conditioner.words(source), made.conditioner.words(target), STEPS, settings)

    def control(rows: Sequence[int]) -> PromptToPromptControl:
        return PromptToPromptControl([edit] * len(rows), settings)

    return sample_pairs(made, DRAWING, batch(source), batch(target), control)


def object_of(pictures: Tensor) -> Tensor:
    """Where a picture differs from its white background."""
    return (255 - pictures.float()).norm(dim=1) > 110


def colours(pictures: Tensor) -> list[str]:
    """The nearest colour to the mean of each picture's object."""
    palette = torch.tensor([COLOURS[name] for name in CHOICES]).float()
    means = [
        picture[:, inside].mean(dim=1) for picture, inside in zip(pictures.float(), object_of(pictures), strict=True)
    ]
    return [CHOICES[int((palette - mean).norm(dim=1).argmin())] for mean in means]


def kept(source: Tensor, edit: Tensor) -> float:
    """How much of the objects' places is common, intersection over union."""
    one, other = object_of(source), object_of(edit)
    return float(((one & other).sum(dim=(1, 2)) / (one | other).sum(dim=(1, 2))).mean())


@pytest.mark.slow
def test_an_edit_changes_the_colour_and_keeps_more_than_drawing_anew_does(model: LatentDiffusion) -> None:
    """Places are not in the prompt, so another prompt moves the object, seed or no seed."""
    by_edit, anew, right = [], [], 0
    for source, target in EDITS:
        before, after = edited(model, source, target, EditSettings())
        right += colours(after).count(target.split()[1])
        by_edit.append(kept(before, after))
        anew.append(kept(before, sample(model, DRAWING, batch(target))))
    assert right >= 0.8 * PAIRS * len(EDITS)
    assert np.mean(by_edit) > np.mean(anew) + 0.05


def test_edits_that_change_nothing_change_nothing(begun: LatentDiffusion) -> None:
    source, target = EDITS[0]
    for settings in (EditSettings(tau=1, self_tau=1), EditSettings(reweight={"red": 1}), EditSettings(blend=["red"])):
        before, after = edited(begun, source, source, settings)
        assert torch.equal(before, after)
    plain = sample(begun, DRAWING, batch(target))
    assert torch.equal(edited(begun, source, target, EditSettings(tau=0))[1], plain)


def test_the_maps_of_words_are_read_and_the_picture_is_as_it_was(begun: LatentDiffusion) -> None:
    prompt = EDITS[0][0]
    columns = MapColumns.of(begun.conditioner.words(prompt))
    pictures, maps = sample_with_maps(begun, DRAWING, batch(prompt), [columns] * PAIRS)
    assert torch.equal(pictures, sample(begun, DRAWING, batch(prompt)))
    assert maps.sites == {site.name for site in sites_of(begun.denoiser)} == {"blocks.0.joint", "blocks.1.joint"}
    shares = maps.at((6, 6)).sum(dim=1)
    assert float(shares.min()) > 0
    assert float(shares.max()) < 1  # the picture has the rest


def test_its_blocks_are_one_program(mm_dit: None) -> None:
    programs: list[torch.fx.GraphModule] = []

    def backend(program: torch.fx.GraphModule, example: list[Tensor]) -> Any:
        programs.append(program)
        return program.forward

    torch._dynamo.reset()
    backbone = DiT(4, 8, 4, width=16, depth=3, heads=2, context_width=6, conditioning="mm_dit")
    for block in backbone.blocks:
        block.compile(backend=backend)
    backbone(torch.zeros(2, 4, 8, 8), torch.arange(2), Conditioning(torch.zeros(2, 5, 6)))
    assert len(programs) == 1
    torch._dynamo.reset()


def test_in_halves_it_turns_by_exact_angles(mm_dit: None) -> None:
    backbone = DiT(4, 8, 4, width=16, depth=1, heads=2, context_width=6, conditioning="mm_dit")
    half_weights(backbone, torch.bfloat16)
    dtypes = {name: tensor.dtype for name, tensor in (*backbone.named_parameters(), *backbone.named_buffers())}
    assert [name for name, dtype in dtypes.items() if dtype == torch.float32] == ["blocks.0.rotation"]
    inputs = torch.ones(2, 4, 8, 8).bfloat16(), torch.arange(2), Conditioning(torch.ones(2, 5, 6).bfloat16())
    assert backbone(*inputs).dtype == torch.bfloat16


def test_the_worked_example_is_short_and_counted(mm_dit: None) -> None:
    assert len(documented().splitlines()) < 60
    backbone = DiT(4, 8, 2, width=32, depth=1, heads=2, context_width=6, vector_width=10, conditioning="mm_dit")
    cond = Conditioning(torch.zeros(1, 5, 6), None, torch.zeros(1, 10))
    inputs = (torch.zeros(1, 4, 8, 8), torch.zeros(1, dtype=torch.long), cond)
    assert not backbone(*inputs).any()
    described = describe(backbone, *inputs)
    block = dict(described.root.walk(2))["blocks.0"]
    tokens, width = 16 + 5, 32
    assert described.tokens == (tokens,)
    assert block.macs == tokens * 12 * width**2 + 2 * tokens**2 * width + 2 * 6 * width**2
