"""Editing methods on the pictures of PIE-Bench, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.evaluation.pie_bench.choice import shown_of
from ldmlab.evaluation.pie_bench.edits import Given, edited, given
from ldmlab.evaluation.pie_bench.files import PieFiles
from ldmlab.evaluation.pie_bench.folder import PieCase
from ldmlab.evaluation.shares import Shares
from ldmlab.metrics.editing.base import EditMetric, means_of
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.metrics.measured import Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision
from ldmlab.progress import passes

Pictures = list[UInt8[Tensor, "3 S S"]]


@dataclass(frozen=True)
class PieMeasured:
    """What became of N edits under each method.

    Attributes:
        cases: the N edits.
        names: of the K figures.
        values: of each method the figures of each edit, (N, K); see `EditMetric.of_each`.
        shown: the numbers of the edits that are kept to be looked at.
        pictures: of these, the given ones under "" and those of each method under its name.
        remarks: what to know before figures are compared.
        higher_is_better: by figure.
    """

    cases: Sequence[PieCase]
    names: Sequence[str]
    values: Mapping[str, Float[Tensor, "N K"]]
    shown: Sequence[int]
    pictures: Mapping[str, Pictures]
    remarks: Sequence[str]
    higher_is_better: Mapping[str, bool]

    def means(self, method: str, category: str | None = None) -> list[tuple[str, float, float | None]]:
        """The name, mean and standard error of a method's figures, over all edits or over those of a category."""
        chosen = [number for number, case in enumerate(self.cases) if category in (None, case.category)]
        return means_of(self.names, self.values[method][chosen])

    @property
    def found(self) -> Measured:
        """The means over all edits, as "METHOD/FIGURE"."""
        means = {method: self.means(method) for method in self.values}
        figures = {f"{method}/{name}": mean for method, own in means.items() for name, mean, _ in own}
        errors = {
            f"{method}/{name}": error for method, own in means.items() for name, _, error in own if error is not None
        }
        higher = {f"{method}/{name}": value for method in means for name, value in self.higher_is_better.items()}
        return Measured(figures, errors, [*self.remarks], higher)


@dataclass(frozen=True)
class PieBench:
    """Editing methods that are measured on the same pictures.

    Attributes:
        task: of the model, on its device, and how it draws; pictures, prompts and masks are chosen here.
        cases: the edits.
        seeds: one an edit.
        metrics: what is measured; their states are lost.
        words: see `edited`.
        files: where pictures are written as they are made; None to write none.
    """

    task: EditTask
    cases: Sequence[PieCase]
    seeds: Sequence[int]
    metrics: Sequence[EditMetric]
    words: bool = True
    files: PieFiles | None = None

    def measure(self, methods: Mapping[str, EditMethod], shares: Mapping[str, Shares]) -> PieMeasured:
        """Edit each picture by each method.

        Args:
            methods: by what they are called.
            shares: of each, which edits this rank makes, and where what came of them is kept.

        Raises:
            ValueError: naming the method and the edit that is impossible.
        """
        shown = shown_of(self.cases)
        values: dict[str, Tensor] = {}
        pictures = {"": [self._given(number).picture for number in shown]}
        remarks: list[str] = []
        model = self.task.model
        with passes(model.denoiser.backbone, "editing"), Precision("fp32", model.device).arithmetic():
            for name, method in methods.items():
                pictures[name] = self._by(name, method, shares[name], shown)
                values[name] = torch.cat([metric.of_each for metric in self.metrics], dim=1)
                remarks += [f"{name}: {line}" for metric in self.metrics for line in metric.remarks()]
        remarks += _of_whole_masks(values)
        names = [name for metric in self.metrics for name in metric.names]
        higher = {name: metric.higher_is_better is True for metric in self.metrics for name in metric.names}
        return PieMeasured(self.cases, names, values, shown, pictures, remarks, higher)

    def _by(self, name: str, method: EditMethod, shares: Shares, shown: Sequence[int]) -> Pictures:
        """Take the edits of a method into the metrics; return those that are shown."""
        for metric in self.metrics:
            metric.reset()
            if metric.extractor is not None:
                metric.extractor.to(self.task.model.device)
        feed = Feed("edits", [metric.update for metric in self.metrics])
        feed.require({"images", "truth", "mask", "captions"})
        kept: Pictures = []

        def make(number: int) -> tuple[Reading, Tensor | None]:
            made = _Once(partial(self._edited, name, method, number))
            reading = shares.read(feed, range(number, number + 1), partial(self._known, number, made))
            if number not in shown:
                return reading, None
            return reading, shares.once(f"shown-{number:08d}", lambda: {"after": made()})["after"]

        for reading, picture in shares.each(range(len(self.cases)), make):
            feed.add(reading)
            kept += [] if picture is None else [picture]
        feed.close()
        return kept

    def _edited(self, name: str, method: EditMethod, number: int) -> UInt8[Tensor, "3 S S"]:
        case = self.cases[number]
        task = replace(self.task, drawing=self.task.drawing.of([self.seeds[number]]))
        what = self._given(number)
        try:
            after = edited(method, task, case, what, self.words).cpu()
        except ValueError as error:
            raise ValueError(f"methods={name}: {case.key}: {error}") from error
        if self.files is not None:
            self.files.write(name, case, after, what)
        return after

    def _known(self, number: int, made: _Once) -> dict[str, Any]:
        """What metrics may read of an edit, on the model's device."""
        what, device = self._given(number), self.task.model.device
        after, before = (picture[None].to(device) for picture in (made(), what.picture))
        mask = what.mask[None].to(device)
        return {"images": after, "truth": before, "mask": mask, "captions": [self.cases[number].target]}

    def _given(self, number: int) -> Given:
        return given(self.cases[number], side_of(self.task.model))


class _Once:
    """A picture that is made when it is first asked for."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._made: Tensor | None = None

    def __call__(self) -> UInt8[Tensor, "3 S S"]:
        if self._made is None:
            self._made = self._make()
        return self._made


def _of_whole_masks(values: Mapping[str, Float[Tensor, "N K"]]) -> list[str]:
    """A remark on edits that may change every pixel, which are the same for all methods."""
    first = next(iter(values.values()))
    whole = int(first.isnan().any(dim=1).sum())
    if not whole:
        return []
    return [f"{whole} of {len(first)} edits may change every pixel, so nothing outside their masks is measured"]


def side_of(model: LatentDiffusion) -> int:
    """The side in pixels of what a model draws."""
    return model.latent_shape[1] * model.autoencoder.factor
