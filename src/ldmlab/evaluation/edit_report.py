"""The files of a benchmark of editing: figures, a line an edit, and a contact sheet of sources over edits."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ldmlab.atomic import atomic_file, write_json
from ldmlab.evaluation.edit_benchmark import EditBenchmark
from ldmlab.evaluation.edit_figures import JudgedEdit
from ldmlab.evaluation.measured_model import model_fields
from ldmlab.metrics.manifest import Manifest, record
from ldmlab.metrics.measured import Measured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded
from ldmlab.pictures.contact_sheet import contact_sheet
from ldmlab.pictures.png import write_png
from ldmlab.precision import Precision

COLUMNS = ("seed", "source", "target", "weighed", "attribute", "wanted", "reached", "unchanged", "outside")


def benchmark_record(
    benchmark: EditBenchmark,
    loaded: Loaded[LatentDiffusion],
    precision: Precision,
    seed: int,
    edits: Mapping[str, Any],
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
    """The figures of a benchmark and their circumstances, see `manifest.record`.

    Args:
        benchmark: what was measured.
        loaded: the model that drew.
        precision: what it computed in.
        seed: of captions, edits and noise.
        edits: the kind of edits and the method with its settings, plain JSON data.
        sampling: how pictures were drawn, see `sampling_fields`.
    """
    manifest = Manifest(
        metric="edits",
        n=len(benchmark.judged),
        seed=seed,
        **model_fields(loaded, precision),
        edit_config=edits,
        **sampling,
    )
    return record(Measured(benchmark.figures, benchmark.errors), manifest, benchmark.remarks)


def write_report(
    folder: Path, benchmark: EditBenchmark, result: Mapping[str, object], settings: Mapping[str, Any]
) -> None:
    """Write `metrics.json`, `edits.csv` and `contact_sheet.png`.

    Args:
        folder: where they go; made where it is missing.
        benchmark: what was measured.
        result: its figures and their circumstances, see `benchmark_record`.
        settings: plain JSON data that the contact sheet carries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", result)
    with atomic_file(folder / "edits.csv") as file:
        file.write(edits_table(benchmark.judged).encode())
    pictures = [image for pair in benchmark.shown for image in pair]
    pairs = zip(benchmark.judged, benchmark.shown, strict=False)
    titles = [title for each, _ in pairs for title in (each.edit.source, _title(each))]
    sheet = contact_sheet(torch.stack(pictures), titles, columns=8)
    write_png(folder / "contact_sheet.png", sheet, settings)


def edits_table(judged: Sequence[JudgedEdit]) -> str:
    """A CSV table with a line an edit."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_line, judged))
    return out.getvalue()


def _line(judged: JudgedEdit) -> list[object]:
    edit, verdict = judged.edit, judged.verdict
    wanted = edit.wanted or "gone"
    asked = [judged.seed, edit.source, edit.target, " ".join(edit.weighed), edit.attribute, wanted]
    return [*asked, int(verdict.reached), int(verdict.unchanged), round(verdict.outside, 3)]


def _title(judged: JudgedEdit) -> str:
    verdict = judged.verdict
    marks = f"{'+' if verdict.reached else '-'}{'+' if verdict.unchanged else '-'}"
    return f"{marks} {judged.edit.unweighted_target}"
