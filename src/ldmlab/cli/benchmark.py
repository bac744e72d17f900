"""`ldmlab benchmark`: an editing method on drawn scenes whose edits the verifier can judge."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor

from ldmlab.atomic import atomic_file, write_json
from ldmlab.cli.tables import print_table
from ldmlab.configs.build import build_drawing, build_method, resolved
from ldmlab.drawing.computing import ready_to_draw
from ldmlab.drawing.records import drawing_record, portable
from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.editing.methods.prompt_to_prompt import PromptToPromptMethod
from ldmlab.metrics.edits import Verdict, judge, judgeable, place_of
from ldmlab.metrics.manifest import Manifest, device_name, record, sampling_fields
from ldmlab.models.loading import Loaded, load_latent_diffusion
from ldmlab.pictures.contact_sheet import contact_sheet
from ldmlab.pictures.png import write_png
from ldmlab.precision import Precision, pick_precision
from ldmlab.progress import passes
from ldmlab.samplers.noise import picture_seeds
from ldmlab.worlds.shapes.scene_edits import SceneEdit, scene_edits

CANDIDATES = 32
"""Scenes drawn at once when looking for ones that can be judged."""
PATIENCE = 40
"""Give up when fewer than one candidate in so many can be judged."""
ON_SHEET = 16
PICTURES_AN_EDIT = 4
"""One to look at, a pair, and the baseline's."""


@dataclass(frozen=True)
class Case:
    """An edit, the seed of its picture, and the picture before it."""

    edit: SceneEdit
    seed: int
    before: UInt8[Tensor, "3 fH fW"]


@dataclass(frozen=True)
class Judged:
    """What became of a case under the method, and under the baseline. The pictures are not kept."""

    edit: SceneEdit
    seed: int
    verdict: Verdict
    baseline: Verdict


def run(cfg: DictConfig) -> None:
    """Draw, edit, judge; print a table, write metrics.json, edits.csv and a contact sheet."""
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    model = loaded.model
    model.to(precision.device)
    method = build_method(cfg)
    _check(method)
    drawing = build_drawing(cfg, model, (), precision)
    task = EditTask(model, ready_to_draw(model, drawing, cfg.compile, PICTURES_AN_EDIT * cfg.n))
    judged: list[Judged] = []
    shown: list[tuple[Tensor, Tensor]] = []
    cases = _Cases(cfg, task)
    with passes(model.denoiser.backbone, "drawing"):
        for group in cases.groups():
            drawing = task.drawing.of([case.seed for case in group])
            own = replace(task, drawing=drawing, sources=[case.edit.source for case in group])
            after = _edited(cfg, method, own, group)
            baseline = own.draw([case.edit.plain_target for case in group])
            judged += _judged(group, after, baseline)
            shown += [(case.before, image) for case, image in zip(group, after, strict=True)][: ON_SHEET - len(shown)]
    notes: list[str] = []
    figures = _figures(judged, notes.append) | {"judged": len(judged), "drawn": cases.looked_at}
    result = record(figures, _manifest(cfg, loaded, precision, len(judged)), notes)
    settings = {key: portable(value) for key, value in _own(cfg).items()} | drawing_record(
        loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance)
    )
    _write(Path(cfg.output_dir), result, judged, shown, settings)
    print_table(result["metrics"], f"{loaded.path}, {len(judged)} edits, kind={cfg.kind}")
    for note in notes:
        print(note)
    print(f"metrics: {Path(cfg.output_dir) / 'metrics.json'}")


def _check(method: EditMethod) -> None:
    if "image" in method.needs:
        raise ValueError("method: works on given pictures; the benchmark edits drawn ones, so choose another method")


class _Cases:
    """The first n edits whose source pictures can be judged.

    Attributes:
        looked_at: how many pictures were drawn to find them, so far.
    """

    def __init__(self, cfg: DictConfig, task: EditTask) -> None:
        self.cfg = cfg
        self.task = task
        self.looked_at = 0

    def groups(self) -> Iterator[list[Case]]:
        """In groups of one size, but for the last."""
        found = islice(self._found(), self.cfg.n)
        while group := list(islice(found, CANDIDATES)):
            yield group

    def _found(self) -> Iterator[Case]:
        edits, count = scene_edits(self.cfg.kind, self.cfg.seed), 0
        while True:
            batch = list(islice(edits, CANDIDATES))
            seeds = picture_seeds(self.cfg.seed, len(batch), self.looked_at)
            pictures = replace(self.task, drawing=self.task.drawing.of(seeds)).draw([edit.source for edit in batch])
            self.looked_at += len(batch)
            good = [case for case in map(Case, batch, seeds, pictures) if judgeable(case.edit, _pixels(case.before))]
            count += len(good)
            if self.looked_at > PATIENCE * (count + 1):
                raise ValueError(
                    f"ckpt={self.cfg.ckpt}: of {self.looked_at} pictures {count} show what their captions ask for; "
                    "benchmark a model that was trained on shapes, and longer"
                )
            yield from good


def _edited(cfg: DictConfig, method: EditMethod, task: EditTask, cases: Sequence[Case]) -> UInt8[Tensor, "N 3 fH fW"]:
    if "mask" in method.needs:
        task = replace(task, mask=torch.stack([_mask(case) for case in cases]))
    if isinstance(method, PromptToPromptMethod):
        settings = [
            replace(method.settings, reweight=dict.fromkeys(case.edit.weighed, cfg.weight) or method.reweight)
            for case in cases
        ]
        task = replace(task, targets=[case.edit.target for case in cases])
        return method.edit_each(task, settings)[1]
    edited = method.edit(replace(task, targets=[case.edit.plain_target for case in cases]))
    return edited.after[0].pictures


def _mask(case: Case) -> Tensor:
    return torch.from_numpy(place_of(case.edit, _pixels(case.before)))


def _judged(group: Sequence[Case], after: Tensor, baseline: Tensor) -> list[Judged]:
    return [
        Judged(case.edit, case.seed, _verdict(case, edited), _verdict(case, plain))
        for case, edited, plain in zip(group, after, baseline, strict=True)
    ]


def _verdict(case: Case, after: UInt8[Tensor, "3 fH fW"]) -> Verdict:
    return judge(case.edit, _pixels(case.before), _pixels(after))


def _figures(judged: Sequence[Judged], tell: Callable[[str], None]) -> dict[str, float]:
    """Shares and means over all edits, over those of each attribute, and beside the baseline's."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        groups[""].append(each)
        groups[f"/{each.edit.attribute}"].append(each)
    figures = {}
    for name, members in groups.items():
        for prefix, verdicts in (
            ("", [each.verdict for each in members]),
            ("fixed_seed/", [each.baseline for each in members]),
        ):
            for key in ("reached", "unchanged", "outside"):
                figures[f"{prefix}{key}{name}"] = float(np.mean([getattr(verdict, key) for verdict in verdicts]))
    if figures["fixed_seed/outside"]:
        figures["outside/fixed_seed"] = figures["outside"] / figures["fixed_seed/outside"]
    else:
        tell("outside/fixed_seed: the baseline changed no pixel outside its objects, so nothing can be divided by that")
    return figures


def _manifest(cfg: DictConfig, loaded: Loaded, precision: Precision, n: int) -> Manifest:
    return Manifest(
        metric="edits",
        n=n,
        seed=cfg.seed,
        device=device_name(precision.device),
        checkpoint=str(loaded.path),
        checkpoint_sha256=loaded.checkpoint.sha256,
        autoencoder_sha256=loaded.autoencoder_sha256,
        ema=loaded.checkpoint.ema,
        precision=precision.name,
        edit_config=_own(cfg),
        **sampling_fields(resolved(cfg.sampler), resolved(cfg.guidance)),
    )


def _own(cfg: DictConfig) -> dict[str, Any]:
    """The kind of edits, the method and all of its keys."""
    return {key: value for key, value in resolved(cfg).items() if key not in ("sampler", "guidance", "output_dir")}


def _write(
    folder: Path,
    result: dict[str, object],
    judged: Sequence[Judged],
    shown: Sequence[tuple[Tensor, Tensor]],
    settings: Mapping[str, Any],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", result)
    with atomic_file(folder / "edits.csv") as file:
        file.write(_table(judged).encode())
    pictures = [image for pair in shown for image in pair]
    titles = [title for each, _ in zip(judged, shown, strict=False) for title in (each.edit.source, _title(each))]
    sheet = contact_sheet(torch.stack(pictures), titles, columns=8)
    write_png(folder / "contact_sheet.png", sheet, settings)


def _title(judged: Judged) -> str:
    verdict = judged.verdict
    marks = f"{'+' if verdict.reached else '-'}{'+' if verdict.unchanged else '-'}"
    return f"{marks} {judged.edit.plain_target}"


def _table(judged: Sequence[Judged]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["seed", "source", "target", "weighed", "attribute", "wanted", "reached", "unchanged", "outside"])
    writer.writerows(map(_line, judged))
    return out.getvalue()


def _line(judged: Judged) -> list[object]:
    edit, verdict = judged.edit, judged.verdict
    wanted = edit.wanted or "gone"
    told = [judged.seed, edit.source, edit.target, " ".join(edit.weighed), edit.attribute, wanted]
    return [*told, int(verdict.reached), int(verdict.unchanged), round(verdict.outside, 3)]


def _pixels(image: UInt8[Tensor, "3 fH fW"]) -> UInt8[np.ndarray, "fH fW 3"]:
    return image.permute(1, 2, 0).cpu().numpy()
