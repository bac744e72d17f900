"""Every metric gives on several ranks the figures of one, to the last bit. A new one is found by itself."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

import ldmlab
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.base import Announced, Metric, parameters
from ldmlab.metrics.bound import VariationalBound
from ldmlab.metrics.editing.clip_similarity import CLIPSimilarity
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.fidelity.lpips import LPIPS
from ldmlab.metrics.measured import measured as found_by
from ldmlab.ranks import ALONE, Ranks
from ldmlab.types import Conditioning
from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import random_scene

from ..colours import Colours

COUNT, BATCH = 13, 3
"""Five batches, the last with one picture: neither 2 nor 3 nor 4 ranks share them evenly."""
FOLDER = Path(ldmlab.__file__).parent / "metrics"
WITHOUT_ERROR = {
    "asked/": "a count of what was asked",
    "confusion/": "a count",
    "exact": "a count",
    "IS_std": "itself a spread",
    "KID_std": "itself a spread",
}
"""What the names of figures begin with that have no standard error, and why."""
SETTINGS: dict[type[Metric], dict[str, Any]] = {
    VariationalBound: {"steps": 3},
    CLIPSimilarity: {"extractor": Colours()},
}


def metric_classes() -> list[type[Metric]]:
    found: list[type[Metric]] = []
    for path in sorted(FOLDER.rglob("[!_]*.py")):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        module = importlib.import_module(".".join(("ldmlab.metrics", *parts)))
        own = [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__]
        found += [each for each in own if issubclass(each, Metric) and not inspect.isabstract(each)]
    return found


METRICS = metric_classes()


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A backbone for LPIPS, whose weights come from a file."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(squeezenet1_1(weights=None).state_dict(), path)
    SETTINGS[LPIPS] = {"weights": path, "backbone": "squeeze"}


class Halved(nn.Module):
    """A backbone that needs no weights."""

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
        return x / 2


def everything() -> dict[str, Any]:
    """All that a metric may read of `COUNT` pictures, by name, an entry a picture."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(COUNT)]
    images = torch.stack([torch.from_numpy(render(scene, 64).copy()).permute(2, 0, 1) for scene in scenes])
    noisy = images.int() + torch.randint(-9, 10, images.shape, generator=generator)
    return {
        "images": images,
        "truth": noisy.clamp(0, 255).to(torch.uint8),
        "mask": torch.rand(COUNT, 64, 64, generator=generator) > 0.8,
        "captions": [f"caption {number // 4}" for number in range(COUNT)],
        "labels": [number % 3 for number in range(COUNT)],
        "asked": [caption(scene, rng)[1] for scene in scenes],
        "latents": torch.randn(COUNT, 2, 4, 4, generator=generator),
        "code_counts": torch.randint(5, (COUNT, 6), generator=generator),
    }


def batch_of(known: Mapping[str, Any], part: range) -> dict[str, Any]:
    given = {key: values[part.start : part.stop] for key, values in known.items()}
    generator = torch.Generator().manual_seed(part.start)
    draw = partial(torch.randn, given["latents"].shape, generator=generator)
    model = {"denoiser": Denoiser(Halved(), scaled_linear(), Epsilon()), "cond": Conditioning(), "noise": draw}
    return {**given, **model}


def parts() -> list[range]:
    return [range(start, min(start + BATCH, COUNT)) for start in range(0, COUNT, BATCH)]


def begun(kind: type[Metric], known: Mapping[str, Any]) -> Metric:
    metric = kind(**SETTINGS.get(kind, {}))
    metric.begin(Announced(COUNT, seed=1, captions=known["captions"], suffix="-c"))
    return metric


def measured(kind: type[Metric], known: Mapping[str, Any], ranks: Ranks) -> dict[str, float]:
    metric, shares = begun(kind, known), Shares(ranks)
    feeds = [Feed("real", [metric.update_reference], Colours()), Feed("made", [metric.update], Colours())]

    def read(part: range) -> list[Reading]:
        made = batch_of(known, part)
        real = {**made, "images": made["truth"].roll(1, dims=0)}
        return [shares.read(feed, part, partial(dict, given)) for feed, given in zip(feeds, (real, made), strict=True)]

    for readings in shares.each(parts(), read):
        for feed, reading in zip(feeds, readings, strict=True):
            feed.add(reading)
    for feed in feeds:
        feed.close()
    return told_by(metric)


def told_by(metric: Metric) -> dict[str, float]:
    """Its figures, and their standard errors as NAME_error."""
    found = found_by({"metric": metric})
    return {**found.figures, **{f"{name}_error": error for name, error in found.errors.items()}}


def all_measured(ranks: Ranks) -> dict[str, dict[str, float]]:
    known = everything()
    return {kind.__name__: measured(kind, known, ranks) for kind in METRICS}


@pytest.fixture(scope="module")
def alone(weights: None) -> Iterator[dict[str, dict[str, float]]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as ranks have, since a network's sums depend on it
    yield all_measured(ALONE)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("world", [*(pytest.param(world, marks=pytest.mark.slow) for world in (2, 3)), 4])
def test_ranks_give_the_figures_of_one(
    world: int, alone: dict[str, dict[str, float]], on_ranks: Callable[..., list[Any]]
) -> None:
    assert len(METRICS) >= 20
    assert all(alone.values())
    assert on_ranks(world, all_measured) == [alone] * world


def test_every_figure_has_a_standard_error(alone: dict[str, dict[str, float]]) -> None:
    lacking = {
        f"{kind}: {name}"
        for kind, told in alone.items()
        for name in told
        if not name.endswith("_error") and f"{name}_error" not in told and not name.startswith(tuple(WITHOUT_ERROR))
    }
    assert not lacking
    assert all(error >= 0 for told in alone.values() for name, error in told.items() if name.endswith("_error"))


def shared(known: Mapping[str, Any], metric: Metric, world: int) -> Iterator[dict[str, Tensor]]:
    """What each rank's whole share leaves."""
    for rank in range(world):

        def update(rank: int = rank) -> None:
            for part in Ranks(rank, world).share(parts()):
                given: dict[str, Any] = {**batch_of(known, part), "numbers": list(part)}
                given["features"], given["spatial"] = (
                    each.double() for each in Colours().with_spatial(given["images"])
                )
                given["logits"] = Colours().logits(given["features"])
                given["text_features"] = Colours().text_features(given["captions"])
                for reader in (metric.update_reference, metric.update):
                    reader(**{name: given[name] for name in parameters(reader) if name in given})

        yield metric.alone(update)


@pytest.mark.parametrize("kind", METRICS, ids=lambda kind: kind.__name__)
def test_whole_shares_join_to_the_figures_of_one(kind: type[Metric]) -> None:
    known = everything()
    found = []
    for world in (1, 3):
        metric = begun(kind, known)
        assert metric.joins
        for states in shared(known, metric, world):
            metric.join(states)
        found.append(told_by(metric))
    near = {
        name: pytest.approx(value, abs=1e-9, rel=1e-7 if name.endswith("_error") else 1e-9)  # differences lose digits
        for name, value in found[0].items()
    }
    assert found[1] == near
