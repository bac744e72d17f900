"""Prompt-to-prompt as an editing method (Hertz et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import ClassVar

from jaxtyping import UInt8
from torch import Tensor

from ldmlab.attention.attend import sites_of
from ldmlab.drawing.samples import sample_pairs
from ldmlab.editing.inversion.base import Inversion
from ldmlab.editing.inversion.direct import Direct
from ldmlab.editing.inversion.real_image import invert_image
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl


@dataclass(frozen=True)
class PromptToPromptMethod(EditSettings, EditMethod):
    """Draws target beside source under the control of `PromptToPromptControl`.

    Attributes:
        tau_grid: values of `tau` to try, a row each, in its place.
        inversion: of a given picture; direct if not given.
    """

    tau_grid: Sequence[float] | None = None
    inversion: Inversion | None = None

    needs: ClassVar[frozenset[str]] = frozenset({"source"})
    takes: ClassVar[frozenset[str]] = frozenset({"target", "image"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tau_grid is not None and not self.tau_grid:
            raise ValueError("tau_grid=[]: give at least one tau, or null for tau alone")

    def _edit(self, task: EditTask) -> Edited:
        """See `EditMethod.edit`. The target is the source where none was given: words are only weighed anew."""
        sources = task.prompts("source")
        targets = sources if task.targets is None else task.targets
        titles = [""] if self.tau_grid is None else [f"tau {tau:g}: " for tau in self.tau_grid]
        if task.image is not None:
            return self._edit_image(task, sources[0], targets[0], titles)
        task = replace(task, targets=targets)
        runs = [self.edit_each(task, [settings] * len(sources)) for settings in self._sweep()]
        rows = [SheetRow(f"{title}{targets[0]}", after) for title, (_, after, _) in zip(titles, runs, strict=True)]
        return Edited(SheetRow(sources[0], runs[0][0]), rows, [note for *_, note in runs])

    def _edit_image(self, task: EditTask, source: str, target: str, titles: Sequence[str]) -> Edited:
        """One picture is one pair, whatever the seeds: an inversion draws no noise."""
        edits = [(settings, _worked_out(task, source, target, settings)) for settings in self._sweep()]
        inverted = invert_image(task, self.inversion or Direct())
        task.tell(inverted.note)
        rows, notes = [], []
        for title, (settings, edit) in zip(titles, edits, strict=True):
            control = PromptToPromptControl([edit], settings)
            _, after = inverted.edit(target, partial(_always, control))
            rows.append(SheetRow(f"{title}{target}", after))
            notes.append(_report(task, [control], [edit]))
        return Edited(inverted.row, rows, notes)

    def edit_each(
        self, task: EditTask, settings: Sequence[EditSettings]
    ) -> tuple[UInt8[Tensor, "N 3 fH fW"], UInt8[Tensor, "N 3 fH fW"], str]:
        """Edit each picture with settings of its own, which may differ from each other in their words alone.

        Returns:
            The pictures before and after, and what the user should know.
        """
        sources, targets = task.prompts("source"), task.prompts("target")
        edits = [_worked_out(task, *each) for each in zip(sources, targets, settings, strict=True)]
        controls: list[PromptToPromptControl] = []

        def control(rows: Sequence[int]) -> PromptToPromptControl:
            controls.append(PromptToPromptControl([edits[row] for row in rows], settings[0]))
            return controls[-1]

        source, target = (task.model.conditioner.batch(prompts) for prompts in (sources, targets))
        before, after = sample_pairs(task.model, task.drawing, source, target, control)
        return before, after, _report(task, controls, edits)

    def _sweep(self) -> list[EditSettings]:
        return [self.settings] if self.tau_grid is None else [replace(self.settings, tau=tau) for tau in self.tau_grid]

    @property
    def settings(self) -> EditSettings:
        """The settings of the edit alone, without those of the method around it."""
        return EditSettings(**{each.name: getattr(self, each.name) for each in fields(EditSettings)})


def _always(control: PromptToPromptControl, rows: Sequence[int]) -> PromptToPromptControl:
    return control


def _worked_out(task: EditTask, source: str, target: str, settings: EditSettings) -> PromptEdit:
    words = task.model.conditioner.words
    edit = PromptEdit.between(words(source), words(target), task.drawing.sampler.steps, settings)
    if edit.changes_nothing:
        raise ValueError(f"target={target}: says the same as source; change a word, or give reweight={{WORD: FACTOR}}")
    return edit


def _report(task: EditTask, controls: Sequence[PromptToPromptControl], edits: Sequence[PromptEdit]) -> str:
    """How many sites were changed and how much was kept of them; none at all is an error where some were wanted."""
    touched = set().union(*(control.touched for control in controls))
    wanted = any(bool((edit.share != 0).any()) or bool((edit.factor != 1).any()) for edit in edits)
    if wanted and not any(control.touched_words for control in controls):
        raise ValueError("method=prompt_to_prompt: the model has no attention to words, so no map could be changed")
    if not touched and any(control.self_steps for control in controls):
        raise ValueError("self_side: no grid of the model is that small, so no map could be changed; raise it")
    sites = len(sites_of(task.model.denoiser))
    kept = max(control.bytes for control in controls)
    return f"maps of {len(touched)} of {sites} attention sites changed, {kept / 2**20:.2f} MiB of maps kept at most"
