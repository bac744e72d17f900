"""What control over attention costs: ratios of times measured in turns in one run. `make bench` prints them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import pytest
import torch

from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.samplers.ddim import DDIM
from ldmlab.types import AttentionControl, Uncontrolled

pytestmark = pytest.mark.bench
SOURCE, TARGET = "a small red circle left of a big blue square", "a small red star left of a big blue square"
SEEDS, ROUNDS = tuple(range(8)), 7
DRAWING = Drawing(DDIM(10), ClassifierFree(2.0), SEEDS)


def seconds(*runs: Callable[[], object]) -> list[float]:
    """The median time of each, measured in turns, so that whatever else the machine does falls on all."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS + 1):
        for times, run in zip(taken, runs, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return [statistics.median(times[1:]) for times in taken]


@pytest.mark.parametrize("name", ["shapes/dit", "shapes/unet"])
def test_control_costs_nothing_where_it_is_not_used(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    model = load_latent_diffusion(name).model
    assert isinstance(model, LatentDiffusion)
    source, target = ({"captions": [prompt] * len(SEEDS)} for prompt in (SOURCE, TARGET))
    words = model.conditioner.words
    edit = PromptEdit.between(words(SOURCE), words(TARGET), DRAWING.sampler.steps, settings := EditSettings())

    def pairs(control: Callable[[Sequence[int]], AttentionControl]) -> object:
        return sample_pairs(model, DRAWING, source, target, control)

    def plain() -> object:
        return [sample(model, DRAWING, batch) for batch in (source, target)]

    alone, idle, controlled = seconds(
        plain,
        lambda: pairs(lambda rows: Uncontrolled()),
        lambda: pairs(lambda rows: PromptToPromptControl([edit] * 8, settings)),
    )
    with capsys.disabled():
        print(f"\n{name}: pair under a control that wants nothing / two plain runs: {idle / alone:.3f}")
        print(f"{name}: prompt-to-prompt / two plain runs: {controlled / alone:.3f}")
    assert idle / alone < 1.1
