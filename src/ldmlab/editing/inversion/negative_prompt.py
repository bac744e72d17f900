"""Negative-prompt inversion (Miyake et al. 2023): null-text inversion's answer, taken without optimising."""

from __future__ import annotations

from dataclasses import replace

from ldmlab.editing.inversion.base import InversionTask, Inverted
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.inversion.guided import require_null


class NegativePrompt(DDIMInversion):
    """Guidance leads away from the source prompt, so that the source itself is drawn as if unguided.

    Args:
        iterations: of the walk back; see `DDIMInversion`.
    """

    def invert(self, task: InversionTask) -> Inverted:
        """See `Inversion.invert`."""
        require_null(task.guidance, "negative_prompt")
        return replace(super().invert(task), unconds=[task.conditions.cond] * (len(task.levels) - 1))
