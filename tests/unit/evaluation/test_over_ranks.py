"""A model is measured on several ranks as on one: the same pictures, each once, and figures to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation import restorations, samples
from ldmlab.evaluation.evaluate import evaluate
from ldmlab.evaluation.held_out import HeldOut
from ldmlab.evaluation.measurement import Measurement
from ldmlab.evaluation.shares import Kept, Shares
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Metric
from ldmlab.metrics.bound import VariationalBound
from ldmlab.metrics.distribution.frechet import FrechetDistance
from ldmlab.metrics.distribution.inception_score import InceptionScore
from ldmlab.metrics.fidelity.psnr import PSNR, PooledPSNR
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.ranks import ALONE, Ranks
from ldmlab.samplers.ddim import DDIM

FP32 = Precision("fp32", torch.device("cpu"))
Figures = dict[str, float]


class Numbers(Metric):
    """Which pictures came, and how bright each was."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("come", [], dist_reduce_fx="cat")
        self.add_sum("brightness")

    def update(self, images: Tensor, numbers: list[int]) -> None:
        self.come.append(torch.tensor(numbers))
        self.brightness = self.brightness + images.double().mean(dim=(1, 2, 3)).sum()

    def compute(self) -> Mapping[str, Any]:
        come = torch.cat(self.come)
        return {"first": come[0], "come": len(come), "in_order": (come.diff() == 1).all(), "light": self.brightness}


def metrics_of(task: str) -> dict[str, Metric]:
    if task == "drawer":
        return {"fid": FrechetDistance(), "is": InceptionScore(), "own": Numbers(), "vlb": VariationalBound(steps=3)}
    return {"fid": FrechetDistance(), "psnr": PooledPSNR() if task == "restorer" else PSNR(), "own": Numbers()}


@pytest.fixture
def measure(
    thirteen: HeldOut, extractor: Any, make_model: Callable[[str], LatentDiffusion]
) -> Callable[[str, Shares], Figures]:
    def measure(task: str, shares: Shares) -> Figures:
        model = make_model("drawer" if task == "autoencoder" else task)
        measured = model.autoencoder if task == "autoencoder" else model
        drawing = Drawing(DDIM(steps=2), NoGuidance(), ())
        planned = Measurement(metrics_of(task), extractor, FP32, thirteen, drawing=drawing, shares=shares)
        return dict(evaluate(measured, planned).figures)

    return measure


@pytest.mark.parametrize("task", ["drawer", "restorer", "autoencoder"])
def test_figures_are_those_of_one(
    task: str, measure: Callable[[str, Shares], Figures], on_ranks: Callable[..., list[Any]]
) -> None:
    alone = measure(task, Shares(ALONE))
    assert (alone["first"], alone["come"], alone["in_order"]) == (0, 13, 1)
    assert on_ranks(3, lambda ranks: measure(task, Shares(ranks))) == [alone] * 3


@pytest.mark.parametrize("task", ["drawer", "restorer"])
def test_another_number_of_ranks_goes_on_after_a_kill(
    task: str,
    measure: Callable[[str, Shares], Figures],
    on_ranks: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    alone, kept = measure(task, Shares(ALONE)), Kept(tmp_path / "kept")
    module = samples if task == "drawer" else restorations
    drawn: list[int] = []

    def counted(model: LatentDiffusion, drawing: Drawing, *given: Any) -> Tensor:
        if len(drawn) == 1:
            raise KeyboardInterrupt
        drawn.append(len(drawing.seeds))
        return sample(model, drawing, *given)

    def killed(ranks: Ranks) -> int:
        with pytest.raises(KeyboardInterrupt):
            measure(task, Shares(ranks, kept))
        return sum(drawn)

    sample = module.sample
    monkeypatch.setattr(module, "sample", counted)
    assert on_ranks(2, killed) == [3, 3]
    counted_again: list[int] = []

    def counting(model: LatentDiffusion, drawing: Drawing, *given: Any) -> Tensor:
        counted_again.append(len(drawing.seeds))
        return sample(model, drawing, *given)

    monkeypatch.setattr(module, "sample", counting)
    found = on_ranks(3, lambda ranks: (measure(task, Shares(ranks, kept)), sum(counted_again)))
    assert [figures for figures, _ in found] == [alone] * 3
    assert sum(count for _, count in found) == 13 - 6
