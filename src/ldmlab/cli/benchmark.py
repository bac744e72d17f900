"""`ldmlab benchmark`: an editing method on drawn scenes whose edits the verifier can judge."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from omegaconf import DictConfig
from torch import Tensor

from ldmlab.cli.build import Loaded, build_guidance, build_sampler, load_latent_diffusion, pick_device, plain
from ldmlab.cli.edit import build_method
from ldmlab.cli.progress import passes, track
from ldmlab.cli.records import print_table, sampling_record
from ldmlab.data.atomic import atomic_file, write_json
from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.editing.methods.prompt_to_prompt import PromptToPromptMethod
from ldmlab.metrics.edits import Verdict, judge, judgeable, place_of
from ldmlab.metrics.manifest import Manifest, device_name, record
from ldmlab.pictures.contact_sheet import contact_sheet
from ldmlab.pictures.png import write_png
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.noise import picture_seeds
from ldmlab.shapes.edits import SceneEdit, scene_edits
from ldmlab.training.state import state_sha256

CANDIDATES = 32
"""Scenes drawn at once when looking for ones that can be judged."""
PATIENCE = 40
"""Give up when fewer than one candidate in so many can be judged."""
ON_SHEET = 16


@dataclass(frozen=True)
class Case:
    """An edit, the seed of its picture, and the picture before it."""

    edit: SceneEdit
    seed: int
    before: UInt8[Tensor, "3 fH fW"]


def run(cfg: DictConfig) -> None:
    """Draw, edit, judge; print a table, write metrics.json, edits.csv and a contact sheet."""
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    model = loaded.model
    assert isinstance(model, LatentDiffusion)
    model.to(pick_device(cfg.device))
    method = build_method(cfg)
    _check(method)
    task = EditTask(
        model, build_sampler(cfg.sampler, model), build_guidance(cfg.guidance, model), [], batch_size=cfg.batch_size
    )
    with passes(model.denoiser.backbone, "drawing"):
        cases, looked_at = _cases(cfg, task)
        task = replace(task, seeds=[case.seed for case in cases], sources=[case.edit.source for case in cases])
        after = _edited(cfg, method, task, cases)
        baseline = task.draw([case.edit.plain_target for case in cases])
    verdicts, plain_verdicts = _verdicts(cases, after), _verdicts(cases, baseline)
    figures = _figures(cases, verdicts, plain_verdicts) | {"judged": len(cases), "drawn": looked_at}
    result = record(figures, _manifest(cfg, loaded, len(cases)))
    _write(Path(cfg.output_dir), result, cases, verdicts, after)
    print_table(result["metrics"], f"{loaded.path}, {len(cases)} edits, kind={cfg.kind}")
    print(f"metrics: {Path(cfg.output_dir) / 'metrics.json'}")


def _check(method: EditMethod) -> None:
    if "image" in method.needs:
        raise ValueError("method: works on given pictures; the benchmark edits drawn ones, so choose another method")


def _cases(cfg: DictConfig, task: EditTask) -> tuple[list[Case], int]:
    """The first n edits whose source pictures can be judged, and how many pictures were looked at for them."""
    cases: list[Case] = []
    edits = scene_edits(cfg.kind, cfg.seed)
    first = 0
    while len(cases) < cfg.n:
        batch = list(islice(edits, CANDIDATES))
        seeds = picture_seeds(cfg.seed, len(batch), first)
        pictures = replace(task, seeds=seeds).draw([edit.source for edit in batch])
        found = map(Case, batch, seeds, pictures)
        cases += [case for case in found if judgeable(case.edit, _pixels(case.before))]
        first += len(batch)
        if first > PATIENCE * (len(cases) + 1):
            raise ValueError(
                f"ckpt={cfg.ckpt}: of {first} pictures {len(cases)} show what their captions ask for; benchmark a "
                "model that was trained on shapes, and longer"
            )
    return cases[: cfg.n], first


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


def _verdicts(cases: Sequence[Case], after: UInt8[Tensor, "N 3 fH fW"]) -> list[Verdict]:
    pairs = list(zip(cases, after, strict=True))
    return [judge(case.edit, _pixels(case.before), _pixels(image)) for case, image in track(pairs, "judging")]


def _figures(cases: Sequence[Case], verdicts: Sequence[Verdict], plain: Sequence[Verdict]) -> dict[str, float]:
    """Shares and means over all edits, over those of each attribute, and beside the baseline's."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        groups[""].append(number)
        groups[f"/{case.edit.attribute}"].append(number)
    figures = {}
    for name, numbers in groups.items():
        for prefix, all_verdicts in (("", verdicts), ("fixed_seed/", plain)):
            chosen = [asdict(all_verdicts[number]) for number in numbers]
            for key in ("reached", "unchanged", "outside"):
                figures[f"{prefix}{key}{name}"] = float(np.mean([each[key] for each in chosen]))
    figures["outside/fixed_seed"] = figures["outside"] / max(figures["fixed_seed/outside"], 1e-9)
    return figures


def _manifest(cfg: DictConfig, loaded: Loaded, n: int) -> Manifest:
    model = loaded.model
    assert isinstance(model, LatentDiffusion)
    own = {key: value for key, value in plain(cfg).items() if key not in ("sampler", "guidance", "output_dir")}
    return Manifest(
        metric="edits",
        n=n,
        seed=cfg.seed,
        device=device_name(model.autoencoder.latent_mean.device),
        checkpoint=str(loaded.path),
        checkpoint_sha256=loaded.checkpoint.sha256,
        autoencoder_sha256=state_sha256(model.autoencoder),
        ema=loaded.checkpoint.ema,
        edit_config=own,
        **sampling_record(cfg),
    )


def _write(
    folder: Path, result: dict[str, object], cases: Sequence[Case], verdicts: Sequence[Verdict], after: Tensor
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", result)
    with atomic_file(folder / "edits.csv") as file:
        file.write(_table(cases, verdicts).encode())
    shown = list(zip(cases, verdicts, after, strict=True))[:ON_SHEET]
    pictures = [image for case, _, edited in shown for image in (case.before, edited)]
    titles = [title for case, verdict, _ in shown for title in (case.edit.source, _title(case, verdict))]
    write_png(folder / "contact_sheet.png", contact_sheet(torch.stack(pictures), titles, columns=8))


def _title(case: Case, verdict: Verdict) -> str:
    marks = f"{'+' if verdict.reached else '-'}{'+' if verdict.unchanged else '-'}"
    return f"{marks} {case.edit.plain_target}"


def _table(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["seed", "source", "target", "weighed", "attribute", "wanted", "reached", "unchanged", "outside"])
    writer.writerows(_lines(cases, verdicts))
    return out.getvalue()


def _lines(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Iterator[list[object]]:
    for case, verdict in zip(cases, verdicts, strict=True):
        edit = case.edit
        wanted = edit.wanted or "gone"
        told = [case.seed, edit.source, edit.target, " ".join(edit.weighed), edit.attribute, wanted]
        yield [*told, int(verdict.reached), int(verdict.unchanged), round(verdict.outside, 3)]


def _pixels(image: UInt8[Tensor, "3 fH fW"]) -> UInt8[np.ndarray, "fH fW 3"]:
    return image.permute(1, 2, 0).cpu().numpy()
