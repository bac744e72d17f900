"""What every metric shares. One is a `torchmetrics.Metric` that says by its parameters' names what it reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torchmetrics.metric import Metric as TorchMetric
from torchmetrics.utilities.data import dim_zero_cat, dim_zero_mean

if TYPE_CHECKING:
    from ldmlab.diffusion.denoiser import Denoiser
    from ldmlab.extractors.base import FeatureExtractor


@dataclass(frozen=True)
class Announced:
    """What is known of the N pictures that will be measured before the first of them comes.

    Attributes:
        count: N.
        seed: decides whatever a metric draws at random.
        captions: of the N pictures in order; None where they have none.
        suffix: what labels of figures end with that are an extractor's, as in f"FID{suffix}"; of the metric's own.
    """

    count: int
    seed: int = 0
    captions: Sequence[str] | None = None
    suffix: str = ""


class Metric(TorchMetric):
    """One figure or several of what a model makes, from batches of any size; in memory that does not grow with N.

    A subclass adds its states in the constructor and writes `update` and `compute`. What `update` changes are states,
    each with a way to join two of them (`add_sum`, or `add_state` with `dist_reduce_fx`): batches are taken in by
    themselves, on several ranks, and what they leave is joined in order. The names of the parameters of `update` say
    what it reads of a batch of B pictures, and a parameter with a default is left out where a batch has no such thing:

    - `images`: uint8 (B, 3, H, W), what the model made: samples, reconstructions or pictures drawn again.
    - `truth`: uint8 (B, 3, H, W), what reconstructions and pictures drawn again were made of.
    - `features`: (B, F) of the images by the extractor, float64 on the CPU; `logits`: (B, K) that belong to them;
      `spatial`: (B, S), features that say where in the image something is, float64 on the CPU.
    - `text_features`: (B, F) of the captions, by an extractor that reads texts.
    - `numbers`: B integers, which of the N pictures these are.
    - `captions`, `labels`, `keys`, `meta` and whatever else the model's conditioner reads: lists of B, as in batches of
      data. `asked`: for drawn scenes what each caption says.
    - `code_counts`: (B, K), how often each reconstruction took each of the K codes of an autoencoder that has some.
    - `denoiser`, `latents` (B, C, H, W), `cond` and `noise` (a function that draws noise like the latents): a latent
      diffusion model and held-out latents with their conditions, for figures that need no pictures.

    `update` gets blocks of 1024 pictures, in order and on every rank, where it reads `features`, `logits`, `spatial`
    and `numbers` alone, so that sums are the same to the last bit whatever the batches; otherwise batches as they were
    drawn.

    Args:
        extractor: the network whose features it reads; None for the one that is chosen for all metrics.
    """

    full_state_update = False
    higher_is_better: bool | None = None
    """Of all its figures; None where that is nothing to say."""
    announced: Announced

    def __init__(self, extractor: FeatureExtractor | None = None) -> None:
        super().__init__(sync_on_compute=False)  # whoever measures on several ranks has handed all to each
        self.extractor = extractor

    def networks(self) -> Mapping[str, str]:
        """The networks that it has of its own: the SHA-256 of their weights by their names."""
        return {self.extractor.name: self.extractor.weights_sha256} if self.extractor is not None else {}

    def move_networks(self, device: torch.device | str) -> None:
        """Move the networks that it has of its own; what it adds up stays on the CPU."""
        if self.extractor is not None:
            self.extractor.to(device)
        for network in self.children():
            network.to(device)

    def twin(self) -> Self:
        """A metric with the same settings and states, which shares its networks."""
        shared = (self.extractor, *self.children())
        return deepcopy(self, {id(network): network for network in shared})

    def begin(self, announced: Announced) -> None:
        """Learn what is known in advance; called once, before the first `update`.

        Raises:
            ValueError: there are too few pictures for this figure.
        """
        self.announced = announced

    def add_sum(self, name: str, zero: Tensor | float = 0.0) -> None:
        """Add a state that batches and ranks add to, in float64."""
        self.add_state(name, torch.as_tensor(zero, dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def joins(self) -> bool:
        """Whether what batches leave can be joined: there are states, and each says how."""
        return bool(self._defaults) and not {None, dim_zero_mean} & {*self._reductions.values()}

    def alone(self, update: Callable[[], None]) -> dict[str, Tensor]:
        """The states that an update leaves by itself, on the CPU; those of this metric stay as they were.

        Args:
            update: calls `update` or `update_reference`.
        """
        own = dict(self.metric_state)
        for name, zero in self._defaults.items():
            setattr(self, name, zero.clone() if isinstance(zero, Tensor) else [])
        try:
            update()
            return self.left()
        finally:
            for name, value in own.items():
                setattr(self, name, value)

    def left(self) -> dict[str, Tensor]:
        """The states as they are, on the CPU, for another metric of the same settings to `join`."""
        states = {name: value for name, value in self.metric_state.items() if isinstance(value, Tensor) or value}
        return {name: dim_zero_cat(value).cpu() for name, value in states.items()}

    def join(self, states: Mapping[str, Tensor]) -> None:
        """Take in what later batches have left, see `alone`: as if they had been taken in here."""
        self._computed, self._update_count = None, self._update_count + 1
        for name, state in states.items():
            own, reduce = getattr(self, name), self._reductions[name]
            if isinstance(own, list):
                own.append(state)
            elif callable(reduce):
                setattr(self, name, reduce(torch.stack(torch.broadcast_tensors(own, state))))

    def update_reference(self, *args: Any, **kwargs: Any) -> None:
        """Take in a batch of held-out pictures to compare with: `images`, `features`, `captions` and so on, by name.

        Nothing is read by default. It is called before `begin`, or in turn with `update`.
        """

    def compute(self) -> Mapping[str, Any] | Any:
        """The figures by name, or a single one, which then has the name of the metric's section.

        Raises:
            ValueError: no figure can be told from what came.
        """
        raise NotImplementedError

    def errors(self) -> Mapping[str, float]:
        """The standard errors of figures, by the names that `compute` gives them; none of those that have none.

        Each tells how far the figure would move with as many other pictures of the model, drawn independently; those
        that they are compared with are given. Where requests are the same too it moves rather less.
        """
        return {}

    def remarks(self) -> list[str]:
        """What to know before the figures are compared, a line each."""
        return []

    def passes(self, denoiser: Denoiser) -> int:
        """Passes of the denoiser that `update` makes for a batch; for the progress that is told."""
        return 0


def begin_all(metrics: Iterable[Metric], announced: Announced, extractor: FeatureExtractor) -> None:
    """Tell all metrics what is known in advance, each with the suffix of the network that it reads.

    Args:
        metrics: see `Metric.begin`.
        announced: for all of them.
        extractor: of metrics that have none of their own.

    Raises:
        ValueError: there are too few pictures for a figure.
    """
    for metric in metrics:
        metric.begin(replace(announced, suffix=(metric.extractor or extractor).suffix))


def share_networks(metrics: Iterable[Metric]) -> None:
    """Let metrics that have the same network of their own, by its name and checksum, have one of it."""
    known: dict[tuple[str, str], FeatureExtractor] = {}
    for metric in metrics:
        own = metric.extractor
        if own is not None:
            metric.extractor = known.setdefault((own.name, own.weights_sha256), own)


def own_networks(metrics: Mapping[str, Metric]) -> dict[str, Mapping[str, str]] | None:
    """The networks of those metrics that have some of their own, see `Metric.networks`, by the metric's name."""
    return {name: metric.networks() for name, metric in metrics.items() if metric.networks()} or None


def settings_of(metrics: Mapping[str, Metric]) -> dict[str, Mapping[str, Any]] | None:
    """What metrics were made with, as far as they have it as attributes and it is plain data, by the metric's name."""
    plain = (bool, int, float, str, type(None))
    found = {}
    for name, metric in metrics.items():
        values = {each: getattr(metric, each, ...) for each in parameters(type(metric))}
        found[name] = {
            each: value for each, value in values.items() if each != "extractor" and isinstance(value, plain)
        }
    return {name: settings for name, settings in found.items() if settings} or None


def parameters(function: Callable[..., Any]) -> dict[str, bool]:
    """The names of a method's parameters, and whether each has to be given."""
    found = inspect.signature(function).parameters.values()
    named = [each for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return {each.name: each.default is each.empty for each in named}
