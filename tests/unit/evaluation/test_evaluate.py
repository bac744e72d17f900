"""Which metrics a model can be measured by, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.drawing.drawing import Drawing
from ldmlab.evaluation.class_requests import class_requests
from ldmlab.evaluation.evaluate import evaluate, task_of
from ldmlab.evaluation.held_out import HeldOut, held_out, needs_of
from ldmlab.evaluation.measurement import Measurement
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.base import Metric
from ldmlab.metrics.bound import VariationalBound
from ldmlab.metrics.fidelity.psnr import PSNR
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.samplers.ddim import DDIM


class Blank:
    """An extractor of what no metric here reads."""

    name, suffix, weights_sha256 = "blank", "", ""

    def to(self, device: Any) -> Blank:
        return self

    def features(self, images: Tensor) -> Tensor:
        raise AssertionError("nothing reads features")

    logits = features


class Brightness(Metric):
    """The mean value of the model's pictures and of the held-out ones, and the captions that come with them."""

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("real")
        self.add_sum("made")
        self.captions: list[str] = []

    def update_reference(self, images: Tensor) -> None:
        self.real = self.real + images.double().mean(dim=(1, 2, 3)).sum()

    def update(self, images: Tensor, truth: Tensor, captions: list[str]) -> None:
        assert images.shape == truth.shape
        self.made = self.made + images.double().mean(dim=(1, 2, 3)).sum()
        self.captions += captions

    def compute(self) -> dict[str, Any]:
        return {"real": self.real / self.announced.count, "made": self.made / self.announced.count}


class Captioned(Metric):
    """Reads what no autoencoder is measured with."""

    def update(self, scores: list[float]) -> None:
        """Take in nothing."""


@pytest.fixture
def heldout(shards: Path) -> HeldOut:
    return HeldOut(ShardDataset(ShardIndex.build(shards / "heldout"), 16), n=5, batch_size=2)


@pytest.fixture
def measured(heldout: HeldOut) -> Callable[..., dict[str, float]]:
    torch.manual_seed(0)
    model = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8).eval()

    def measure(**metrics: Metric) -> dict[str, float]:
        precision = Precision("fp32", torch.device("cpu"))
        return dict(evaluate(model, Measurement(metrics, Blank(), precision, heldout)).figures)

    return measure


def test_a_metric_gets_what_its_parameters_name(measured: Callable[..., dict[str, float]], heldout: HeldOut) -> None:
    brightness = Brightness()
    figures = measured(brightness=brightness, psnr=PSNR())
    assert list(figures) == ["real", "made", "PSNR", "n"]
    images = torch.stack([heldout.dataset[row]["image"] for row in range(5)])
    assert figures["real"] == pytest.approx(float((images + 1).mean()) * 127.5, abs=1e-3)
    assert brightness.captions == [heldout.dataset.index.captions[row] for row in range(5)]


def test_a_metric_that_reads_what_there_is_not_is_refused(measured: Callable[..., dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="metric: Captioned reads 'scores', and of reconstructed pictures there are"):
        measured(captioned=Captioned())
    with pytest.raises(ValueError, match="metric=vlb: its figures are of a latent diffusion model"):
        measured(psnr=PSNR(), vlb=VariationalBound())
    with pytest.raises(ValueError, match="metric: there is none"):
        measured()


def test_what_is_measured_follows_from_the_model() -> None:
    model = AutoencoderKL(channels=16, multipliers=(1, 2), residual_blocks=1, norm_groups=8)
    assert task_of(model) == "reconstructions"
    assert needs_of(model) == Needs(captions=False)


def test_fewer_samples_than_wanted_are_told(shards: Path) -> None:
    lines: list[str] = []
    found = held_out(shards / "heldout", Needs(), 16, 99, tell=lines.append)
    assert (found.n, len(found.parts())) == (16, 1)
    assert lines == ["n=99: there are 16 held-out samples, so 16 are taken"]
    assert not found.dataset.decoder.scaled
    assert held_out(shards / "heldout", Needs(), 16, 2, scaled_decoding=True).dataset.decoder.scaled
    with pytest.raises(ValueError, match="1 held-out sample is too few to measure"):
        held_out(shards / "heldout", Needs(), 16, 1)


def test_a_chain_has_steps() -> None:
    with pytest.raises(ValueError, match=r"metric\.vlb\.steps=1: a chain has at least 2 steps"):
        VariationalBound(steps=1)


def test_samples_that_are_drawn_are_told_and_known_by_where_they_come_from(shards: Path) -> None:
    def some(**choice: Any) -> HeldOut:
        return held_out(shards / "heldout", Needs(), 16, 5, tell=lambda line: None, **choice)

    first, drawn, other = some(), some(choice="drawn"), some(choice="drawn", choice_seed=1)
    assert (first.chosen, drawn.chosen) == ("the first 5 of 16", "5 of 16, drawn with seed 0")
    assert other.chosen == "5 of 16, drawn with seed 1"
    assert len({each.fingerprint for each in (first, drawn, other)}) == 3
    assert first.fingerprint == first.whole == drawn.whole == other.whole
    keys = [each.known({"keys"})["keys"] for each in (first, drawn, other)]
    assert len({tuple(each) for each in keys}) == 3
    assert drawn.n == len(set(keys[1])) == 5


class Asked(Metric):
    """How often pictures of each class came."""

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("counts", torch.zeros(3))

    def update(self, images: Tensor, labels: list[int]) -> None:
        self.counts = self.counts + torch.tensor(labels).bincount(minlength=3)

    def compute(self) -> dict[str, Any]:
        return {f"of_{label}": count for label, count in enumerate(self.counts)}


def class_model(make_model: Callable[[str], LatentDiffusion]) -> LatentDiffusion:
    """A model of three classes, which its backbone makes no use of."""
    plain = make_model("drawer")
    return LatentDiffusion(plain.autoencoder, plain.denoiser, ClassLabel(3, 8), 8).eval()


def test_classes_of_a_balance_need_no_samples(make_model: Callable[[str], LatentDiffusion]) -> None:
    model = class_model(make_model)
    requests = class_requests(model, "balanced", n=7, seed=0, batch_size=3)
    assert requests is not None
    drawing = Drawing(DDIM(steps=1), NoGuidance(), ())
    planned = Measurement({"asked": Asked()}, Blank(), Precision("fp32", torch.device("cpu")), drawing=drawing)
    found = evaluate(model, replace(planned, requests=requests))
    assert sorted(found.figures[f"of_{label}"] for label in range(3)) == [2, 2, 3]
    assert found.figures["n_fake"] == 7
    with pytest.raises(ValueError, match="there are no held-out samples"):
        evaluate(model, planned)


@pytest.mark.parametrize(
    ("conditions", "per_caption", "told"),
    [
        ("balanced", 1, "conditions=balanced: asks for classes, and this model reads nothing; use heldout"),
        ("evenly", 1, "conditions=evenly: choose one of heldout, balanced, drawn"),
        ("drawn", 2, "conditions=drawn: asks for each picture's class; leave pictures_per_caption at 1"),
    ],
)
def test_what_cannot_be_asked_for(
    make_model: Callable[[str], LatentDiffusion], conditions: Any, per_caption: int, told: str
) -> None:
    model = make_model("drawer") if conditions == "balanced" else class_model(make_model)
    with pytest.raises(ValueError, match=told):
        class_requests(model, conditions, 4, 0, 2, per_caption)
    assert class_requests(model, "heldout", 4, 0, 2) is None
