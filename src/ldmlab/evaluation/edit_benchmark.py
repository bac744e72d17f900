"""An editing method on drawn scenes whose edits the verifier can judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.editing.methods.prompt_to_prompt import PromptToPromptMethod
from ldmlab.evaluation.edit_cases import EditCase, EditCases, as_array
from ldmlab.evaluation.edit_figures import RATIO, JudgedEdit, means, standard_errors
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.metrics.scenes.edit_verdict import judge, place_of
from ldmlab.progress import passes

ON_SHEET = 16
"""Pairs of pictures that are kept to be looked at."""
PICTURES_AN_EDIT = 4
"""How many are drawn for one: one to look at, a pair, and the baseline's."""


Pair = tuple[UInt8[Tensor, "3 fH fW"], UInt8[Tensor, "3 fH fW"]]
"""A picture before and after its edit."""


@dataclass(frozen=True)
class EditBenchmark:
    """What became of all cases.

    Attributes:
        judged: each of them.
        shown: pictures before and after of the first ones.
        drawn: how many pictures were drawn to find the cases.
    """

    judged: Sequence[JudgedEdit]
    shown: Sequence[Pair]
    drawn: int

    @property
    def figures(self) -> dict[str, float]:
        """Shares and means over all edits, over those of each attribute, and beside the baseline's."""
        return {**means(self.judged), "judged": len(self.judged), "drawn": self.drawn}

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors of the figures over edits; none of counts, nor where there is a single edit."""
        return standard_errors(self.judged)

    @property
    def remarks(self) -> list[str]:
        """What to know before figures are compared."""
        if any(each.baseline.outside for each in self.judged):
            return []
        return [f"{RATIO}: the baseline changed no pixel outside its objects, so nothing can be divided by that"]


def benchmark_edits(
    method: EditMethod,
    task: EditTask,
    kind: str = "swap",
    n: int = 200,
    seed: int = 0,
    weight: float = -2.0,
    ckpt: str | None = None,
    shares: Shares = SINGLE,
) -> EditBenchmark:
    """Draw scenes, keep those that can be judged, edit them, and let the verifier say what became of them.

    Args:
        method: that edits drawn pictures.
        task: of the model, on its device, and how it draws; prompts, seeds and masks are chosen here.
        kind: of edits, see `scene_edits`.
        n: edits to judge.
        seed: of captions, edits and noise.
        weight: the factor of words that are weighed anew.
        ckpt: what the model is called, for errors.
        shares: which pictures this rank draws; each of them calls this, and is given the same.

    Raises:
        ValueError: the method works on given pictures, or the model draws hardly anything that can be judged.
    """
    if "image" in method.needs:
        raise ValueError("method: works on given pictures; the benchmark edits drawn ones, so choose another method")
    judged: list[JudgedEdit] = []
    shown: list[Pair] = []
    cases = EditCases(task, kind, n, seed, ckpt, shares)

    def edit(numbered: tuple[int, Sequence[EditCase]]) -> tuple[list[JudgedEdit], list[Pair]]:
        number, group = numbered
        made = shares.once(f"edits-{number:08d}", lambda: _pictures(method, task, group, weight))
        pairs = [(case.before, after.clone()) for case, after in zip(group, made["after"], strict=True)]
        return list(map(_judged, group, made["after"], made["baseline"])), pairs[:ON_SHEET]

    with passes(task.model.denoiser.backbone, "drawing"):
        for verdicts, pairs in shares.each(enumerate(cases.groups()), edit):
            judged += verdicts
            shown += pairs[: ON_SHEET - len(shown)]
    return EditBenchmark(judged, shown, cases.drawn)


def _pictures(method: EditMethod, task: EditTask, cases: Sequence[EditCase], weight: float) -> dict[str, Tensor]:
    """Of N cases what the method makes of them, "after", and what the baseline does, each uint8 (N, 3, fH, fW)."""
    drawing = task.drawing.of([case.seed for case in cases])
    own = replace(task, drawing=drawing, sources=[case.edit.source for case in cases])
    after = _edited(method, own, cases, weight)
    return {"after": after, "baseline": own.draw([case.edit.unweighted_target for case in cases])}


def _edited(method: EditMethod, task: EditTask, cases: Sequence[EditCase], weight: float) -> UInt8[Tensor, "N 3 fH fW"]:
    if "mask" in method.needs:
        task = replace(task, mask=torch.stack([_mask(case) for case in cases]))
    if isinstance(method, PromptToPromptMethod):
        settings = [
            replace(method.settings, reweight=dict.fromkeys(case.edit.weighed, weight) or method.reweight)
            for case in cases
        ]
        task = replace(task, targets=[case.edit.target for case in cases])
        return method.edit_each(task, settings)[1]
    edited = method.edit(replace(task, targets=[case.edit.unweighted_target for case in cases]))
    return edited.after[0].pictures


def _mask(case: EditCase) -> Tensor:
    return torch.from_numpy(place_of(case.edit, as_array(case.before)))


def _judged(case: EditCase, after: UInt8[Tensor, "3 fH fW"], baseline: UInt8[Tensor, "3 fH fW"]) -> JudgedEdit:
    before = as_array(case.before)
    verdicts = [judge(case.edit, before, as_array(picture)) for picture in (after, baseline)]
    return JudgedEdit(case.edit, case.seed, *verdicts)
