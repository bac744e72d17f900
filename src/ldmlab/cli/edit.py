"""`ldmlab edit`: a picture and the same picture after a change of its prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from hydra.utils import instantiate
from jaxtyping import UInt8
from omegaconf import DictConfig, ListConfig
from PIL import Image
from torch import Tensor

from ldmlab.cli.build import build_guidance, load_latent_diffusion, pick_device, plain
from ldmlab.cli.progress import track
from ldmlab.contact_sheet import contact_sheet, to_pil
from ldmlab.data.atomic import atomic_file
from ldmlab.editing.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompt_to_prompt import PromptToPrompt
from ldmlab.guidance.base import Guidance
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.noise import picture_seeds

SETTINGS = (
    "tau",
    "word_tau",
    "self_tau",
    "self_side",
    "reweight",
    "reweight_until",
    "preserve",
    "blend",
    "blend_from",
    "blend_threshold",
)


Row = tuple[str, Callable[[], Tensor]]
"""A title, and what draws the pictures under it."""


@dataclass(frozen=True)
class Drawing:
    """What every row of the result has in common."""

    model: LatentDiffusion
    sampler: Sampler
    guidance: Guidance
    source: str
    target: str
    seeds: Sequence[int]
    batch_size: int

    def source_pictures(self) -> UInt8[Tensor, "N 3 fH fW"]:
        """The pictures before the edit, drawn as `ldmlab sample` draws them."""
        return self._plain(self.source)

    def fixed_seed(self) -> UInt8[Tensor, "N 3 fH fW"]:
        """The target prompt from the same noise, without control."""
        return self._plain(self.target)

    def prompt_to_prompt(self, edit: PromptEdit, settings: EditSettings) -> UInt8[Tensor, "N 3 fH fW"]:
        """The target prompt under control."""
        controls: list[PromptToPrompt] = []

        def control(rows: Sequence[int]) -> PromptToPrompt:
            controls.append(PromptToPrompt([edit] * len(rows), settings))
            return controls[-1]

        source, target = (self.model.conditioner.batch([text] * len(self.seeds)) for text in (self.source, self.target))
        _, edited = self.model.sample_pairs(
            source, target, self.seeds, self.sampler, self.guidance, control, self.batch_size
        )
        _report(controls, edit)
        return edited

    def _plain(self, prompt: str) -> UInt8[Tensor, "N 3 fH fW"]:
        batch = self.model.conditioner.batch([prompt] * len(self.seeds))
        return self.model.sample(batch, self.seeds, self.sampler, self.guidance, self.batch_size)


def run(cfg: DictConfig) -> None:
    """Draw source and edit for `n` seeds, and write them and a contact sheet with one row an edit."""
    drawing = _drawing(cfg)
    rows: list[Row] = [(drawing.source, drawing.source_pictures), *_edits(cfg, drawing)]
    pictures = [(title, draw()) for title, draw in track(rows, "drawing")]
    _write(Path(cfg.output_dir), pictures)


def _edits(cfg: DictConfig, drawing: Drawing) -> list[Row]:
    if cfg.method == "prompt_to_prompt":
        settings = _settings(cfg)
        edits = [_worked_out(drawing, each) for _, each in settings]
        return [
            (f"{title}{drawing.target}", partial(drawing.prompt_to_prompt, edit, each))
            for (title, each), edit in zip(settings, edits, strict=True)
        ]
    for key in ("tau_grid", "reweight", "word_tau", "self_tau", "preserve", "blend"):
        if cfg[key] not in (None, []):
            raise ValueError(f"{key}: method=fixed_seed draws without control; use method=prompt_to_prompt")
    if drawing.source == drawing.target:
        raise ValueError(f"target={drawing.target}: says the same as source; change a word")
    return [(f"fixed seed: {drawing.target}", drawing.fixed_seed)]


def _drawing(cfg: DictConfig) -> Drawing:
    model = load_latent_diffusion(cfg.ckpt, cfg.ema).model
    assert isinstance(model, LatentDiffusion)
    model.to(pick_device(cfg.device))
    target = cfg.source if cfg.target is None else cfg.target
    model.conditioner.batch([cfg.source, target])  # refuses a prompt before anything is drawn
    sampler, guidance = instantiate(cfg.sampler), build_guidance(cfg.guidance, model)
    sampler.levels(model.denoiser.schedule)  # refuses a number of steps
    return Drawing(model, sampler, guidance, cfg.source, target, picture_seeds(cfg.seed, cfg.n), cfg.batch_size)


def _settings(cfg: DictConfig) -> list[tuple[str, EditSettings]]:
    """Those of each row, with what its title says of them."""
    given = plain(cfg)
    settings = EditSettings(**{name: given[name] for name in SETTINGS})
    if cfg.tau_grid is None:
        return [("", settings)]
    assert isinstance(cfg.tau_grid, ListConfig)
    return [(f"tau {tau:g}: ", replace(settings, tau=tau)) for tau in cfg.tau_grid]


def _worked_out(drawing: Drawing, settings: EditSettings) -> PromptEdit:
    conditioner = drawing.model.conditioner
    source, target = conditioner.words(drawing.source), conditioner.words(drawing.target)
    edit = PromptEdit.between(source, target, drawing.sampler.steps, settings)
    if edit.changes_nothing:
        raise ValueError(
            f"target={drawing.target}: says the same as source; change a word, or give reweight={{WORD: FACTOR}}"
        )
    return edit


def _report(controls: Sequence[PromptToPrompt], edit: PromptEdit) -> None:
    """Say how many sites were changed and how much was kept of them; none at all is an error where some were wanted."""
    touched = set().union(*(control.touched for control in controls))
    wanted = bool((edit.share != 0).any()) or bool((edit.factor != 1).any())
    if wanted and not any(control.touched_words for control in controls):
        raise ValueError("method=prompt_to_prompt: the model has no attention to words, so no map could be changed")
    if not touched and any(control.self_steps for control in controls):
        raise ValueError("self_side: no grid of the model is that small, so no map could be changed; raise it")
    kept = max(control.bytes for control in controls)
    print(f"maps of {len(touched)} attention sites changed, {kept / 2**20:.2f} MiB of maps kept at most")


def _write(folder: Path, pictures: Sequence[tuple[str, UInt8[Tensor, "N 3 fH fW"]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = {"contact_sheet.png": _sheet(pictures)}
    for row, (_, batch) in enumerate(pictures):
        kind = "source" if row == 0 else "edit" if len(pictures) == 2 else f"edit_{row - 1}"
        images |= {f"{index:05d}_{kind}.png": to_pil(image) for index, image in enumerate(batch)}
    for name, image in images.items():
        with atomic_file(folder / name) as file:
            image.save(file, format="PNG")
    print(f"contact sheet: {folder / 'contact_sheet.png'}")


def _sheet(pictures: Sequence[tuple[str, UInt8[Tensor, "N 3 fH fW"]]]) -> Image.Image:
    titles = [title for title, batch in pictures for _ in batch]
    return contact_sheet(torch.cat([batch for _, batch in pictures]), titles, columns=len(pictures[0][1]))
