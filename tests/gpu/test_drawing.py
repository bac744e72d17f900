"""Pictures of the shipped models on a GPU: those of a CPU, up to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.repeated import RepeatedEvaluation
from ldmlab.extractors.efficientnet_lite0 import EfficientNetLite0
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.precision import choose_precision
from ldmlab.samplers.ddim import DDIM

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
PROMPTS = ["a red star", "a small blue circle left of a big green square", "a yellow triangle", "a big red square"]
TARGETS = [prompt.replace("red", "blue").replace("green", "red") for prompt in PROMPTS]
DRAWING = Drawing(DDIM(10), ClassifierFree(4.0), seeds=range(4), batch_size=4)


@pytest.fixture(params=["shapes/dit", "shapes/unet"])
def model(request: pytest.FixtureRequest) -> LatentDiffusion:
    loaded = load_latent_diffusion(request.param).model
    assert isinstance(loaded, LatentDiffusion)
    return loaded


def difference(one: Any, other: Any) -> int:
    return int((one.int() - other.int()).abs().max())


def test_pictures_are_those_of_a_cpu(model: LatentDiffusion) -> None:
    batch = {"captions": PROMPTS}
    wanted = sample(model, DRAWING, batch)
    assert difference(sample(model.to(DEVICE), DRAWING, batch), wanted) <= 1


def test_edits_are_those_of_a_cpu(model: LatentDiffusion) -> None:
    words, settings = model.conditioner.words, EditSettings()
    edits = [PromptEdit.between(words(a), words(b), 10, settings) for a, b in zip(PROMPTS, TARGETS, strict=True)]
    source, target = {"captions": PROMPTS}, {"captions": TARGETS}

    def pairs() -> Any:
        return sample_pairs(
            model, DRAWING, source, target, lambda rows: PromptToPromptControl([edits[row] for row in rows], settings)
        )

    wanted = pairs()
    model.to(DEVICE)
    for found, each in zip(pairs(), wanted, strict=True):
        assert difference(found, each) <= 1


def test_memory_is_given_back(model: LatentDiffusion) -> None:
    """A second drawing needs no more than the first."""
    model.to(DEVICE)
    sample(model, DRAWING, {"captions": PROMPTS})
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        sample(model, DRAWING, {"captions": PROMPTS})
    assert torch.cuda.memory_allocated() <= before


def test_a_measurement_while_training_gives_memory_back(model: LatentDiffusion, shards: Path) -> None:
    """That of networks too, which are not on the GPU between two of them."""
    model.to(DEVICE)
    heldout = HeldOut(ShardDataset(ShardIndex.build(shards / "heldout"), 64), n=8, batch_size=4)
    extractor, precision = EfficientNetLite0(), choose_precision("fp32", DEVICE)
    evaluation = RepeatedEvaluation(heldout, {"fid": FrechetDistance()}, extractor, DDIM(2), ClassifierFree(2.0))
    first = evaluation.measure(model, precision).figures
    before = torch.cuda.memory_allocated()
    assert evaluation.measure(model, precision).figures == first
    assert extractor.device.type == "cpu"
    assert torch.cuda.memory_allocated() <= before
