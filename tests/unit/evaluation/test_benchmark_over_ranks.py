"""A benchmark on several ranks has the cases of one. Pictures and verdicts here follow from seeds alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.methods.base import EditTask
from ldmlab.editing.methods.fixed_seed import FixedSeed
from ldmlab.evaluation import edit_benchmark, edit_cases
from ldmlab.evaluation.edit_benchmark import EditBenchmark, benchmark_edits
from ldmlab.evaluation.edit_report import edits_table
from ldmlab.evaluation.shares import Kept, Shares
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.scenes.edit_verdict import Verdict
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.ranks import ALONE, Ranks
from ldmlab.samplers.ddim import DDIM

Seen = tuple[str, list[bytes], int]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stand in for drawing and judging; how many pictures were drawn at once."""
    counts: list[int] = []

    def draw(task: EditTask, prompts: Sequence[str]) -> Tensor:
        counts.append(len(prompts))
        made = [
            torch.Generator().manual_seed(seed + len(prompt))
            for seed, prompt in zip(task.drawing.seeds, prompts, strict=True)
        ]
        return torch.stack([torch.randint(256, (3, 4, 4), dtype=torch.uint8, generator=g) for g in made])

    def judge(edit: Any, before: np.ndarray, after: np.ndarray) -> Verdict:
        return Verdict(bool(after.sum() % 2), bool(before.sum() % 2), float(after.mean()))

    monkeypatch.setattr(EditTask, "draw", draw)
    monkeypatch.setattr(edit_cases, "judgeable", lambda edit, before: before.sum() % 3 != 0)
    monkeypatch.setattr(edit_benchmark, "judge", judge)
    monkeypatch.setattr(edit_benchmark, "_edited", lambda method, task, cases, weight: task.draw([""] * len(cases)))
    return counts


@pytest.fixture
def run(make_model: Callable[[str], LatentDiffusion]) -> Callable[[Shares], Seen]:
    def run(shares: Shares) -> Seen:
        task = EditTask(make_model("drawer"), Drawing(DDIM(), NoGuidance(), ()))
        found: EditBenchmark = benchmark_edits(FixedSeed(), task, n=100, shares=shares)
        pictures = [picture.numpy().tobytes() for pair in found.shown for picture in pair]
        return edits_table(found.judged), pictures, found.drawn

    return run


def test_cases_are_those_of_one(
    run: Callable[[Shares], Seen], drawn: list[int], on_ranks: Callable[..., list[Any]]
) -> None:
    table, pictures, count = alone = run(Shares(ALONE))
    assert table.count("\n") == 101
    assert len(pictures) == 2 * edit_benchmark.ON_SHEET
    assert count in range(128, 193, 32)
    for world in (2, 3):
        assert on_ranks(world, lambda ranks: run(Shares(ranks))) == [alone] * world


def test_what_was_drawn_is_not_drawn_again(
    run: Callable[[Shares], Seen], drawn: list[int], on_ranks: Callable[..., list[Any]], tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    alone = run(Shares(ALONE, kept))
    drawn.clear()
    first = sorted(path for path in tmp_path.rglob("*.safetensors"))[0]
    first.unlink()  # what the last kill left out: edits of the first 32 cases

    def again(ranks: Ranks) -> tuple[Seen, list[int]]:
        return run(Shares(ranks, kept)), drawn

    found = on_ranks(2, again)
    assert [seen for seen, _ in found] == [alone] * 2
    assert [counts for _, counts in found] == [[32, 32], []]
