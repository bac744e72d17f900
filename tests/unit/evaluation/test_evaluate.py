"""Which metrics a model can be measured by, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.data.index.shard_index import ShardIndex
from ldmlab.data.needs import Needs
from ldmlab.data.shard_dataset import ShardDataset
from ldmlab.evaluation.evaluate import evaluate, task_of
from ldmlab.evaluation.held_out import HeldOut, held_out, needs_of
from ldmlab.metrics.base import Metric
from ldmlab.metrics.bound import VariationalBound
from ldmlab.metrics.fidelity.psnr import PSNR
from ldmlab.precision import Precision


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
        return dict(evaluate(model, heldout, metrics, Blank(), precision=precision).figures)

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
    assert lines == ["n=99: there are 16 held-out samples, so 16 are measured"]
    assert not found.dataset.decoder.scaled
    assert held_out(shards / "heldout", Needs(), 16, 2, scaled_decoding=True).dataset.decoder.scaled
    with pytest.raises(ValueError, match="1 held-out sample is too few to measure"):
        held_out(shards / "heldout", Needs(), 16, 1)


def test_a_chain_has_steps() -> None:
    with pytest.raises(ValueError, match=r"metric\.vlb\.steps=1: a chain has at least 2 steps"):
        VariationalBound(steps=1)
